#include "common/quarantine.h"

#include "common/metrics.h"
#include "roomd/supervisor_internal.h"

#include <dirent.h>
#include <event2/event.h>
#include <string.h>
#include <sys/wait.h>

/* Markers are removed behind our back, so while there are any they are counted anew. */
#define COUNT_MS 5000u

static bool is_marker(const char *name)
{
    return strlen(name) > NAME_HASH_HEX && strcmp(name + NAME_HASH_HEX, QUARANTINE_SUFFIX) == 0;
}

static size_t count_markers(const struct supervisor *s)
{
    DIR *dir = opendir(s->rooms_dir);
    const struct dirent *d;
    size_t count = 0;

    if (!dir)
        return 0;
    while ((d = readdir(dir)))
        count += is_marker(d->d_name);
    (void)closedir(dir);
    return count;
}

static void count(struct supervisor *s)
{
    size_t markers = count_markers(s);

    metric_set(METRIC_ROOMS_QUARANTINED, markers);
    if (markers > 0)
        timer_arm(s->quarantine_timer, COUNT_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    count(ctx);
}

void quarantine_start(struct supervisor *s)
{
    s->quarantine_timer = evtimer_new(loop_base(s->loop), on_timer, s);
    if (!s->quarantine_timer)
        log_panic("no timer");
    count(s);
}

void quarantine_stop(struct supervisor *s)
{
    event_free(s->quarantine_timer);
}

static void set(struct supervisor *s, const char *hash, const struct quarantine *q)
{
    int r = quarantine_set(s->rooms_dir, hash, q);

    if (r < 0)
        log_error("%s/%s" QUARANTINE_SUFFIX ": %s", s->rooms_dir, hash, strerror(-r));
    count(s);
}

void quarantine_slot(const struct slot *slot)
{
    bool is_damaged = slot->rest == SLOT_REST_DAMAGED;
    bool was_killed = WIFSIGNALED(slot->status);
    struct quarantine q = {
        .reason = is_damaged ? QUARANTINE_DAMAGE : QUARANTINE_CRASHES,
        .since_ms = wall_now_ms(),
        .crashes = slot_crashes_recent(&slot->crashes, mono_now_ms()),
        .last_signal = was_killed ? (uint32_t)WTERMSIG(slot->status) : 0,
    };

    quarantine_set_names(&q, blob_slice(slot->tenant), blob_slice(slot->room));
    if (slot->reason)
        quarantine_set_detail(&q, slice_str(slot->reason));
    log_error("room '%.*s' is in quarantine (%s); `concordctl doctor` examines and releases it",
              (int)slot->room->len, (const char *)slot->room->data,
              is_damaged ? "its segment is damaged" : "it crashed again and again");
    set(slot->supervisor, slot->hash, &q);
}

void quarantine_segment(struct supervisor *s, const char *hash)
{
    struct quarantine q = {.reason = QUARANTINE_DAMAGE, .since_ms = wall_now_ms()};

    log_error("%s/%s is damaged and in quarantine; `concordctl doctor` examines it", s->rooms_dir,
              hash);
    set(s, hash, &q);
}
