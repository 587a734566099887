#include "common/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGES_MAX       256
#define SOURCE_NAME_MAX 64

enum type {
    TYPE_counter,
    TYPE_gauge,
    TYPE_age,
};

static const struct {
    const char *process;
    enum type type;
    const char *name;
    const char *label; /* `name="value",` or empty; who has one has the name of the one before */
    const char *help;
} metrics[] = {
#define METRIC_ROW(name, process, type, text, help) {#process, TYPE_##type, text, "", help},
    METRICS(METRIC_ROW)
#undef METRIC_ROW
#define LIMITED_ROW(NAME, name, process, least, most, fallback, help)                              \
    {#process, TYPE_counter, LIMITED_METRIC, "limit=\"" #name "\",", LIMITED_HELP},
        CLIENT_LIMITS(LIMITED_ROW)
#undef LIMITED_ROW
};

static const struct {
    const char *process;
    const char *name;
    const char *help;
} histograms[] = {
#define HISTOGRAM_ROW(name, process, text, help) {#process, text, help},
    HISTOGRAMS(HISTOGRAM_ROW)
#undef HISTOGRAM_ROW
};

static const struct {
    uint64_t us;
    const char *text; /* in seconds */
} bounds[] = {
    {500, "0.0005"},  {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},
    {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},
    {250000, "0.25"}, {500000, "0.5"},  {1000000, "1"},   {5000000, "5"},
};

#define BOUND_COUNT (sizeof(bounds) / sizeof(bounds[0]))

struct page {
    uint64_t layout; /* of the tables that it was written with */
    _Atomic uint64_t values[METRIC_COUNT];
    struct {
        _Atomic uint64_t counts[BOUND_COUNT + 1]; /* the last: above all bounds */
        _Atomic uint64_t sum_us;
    } histograms[HISTOGRAM_COUNT];
};

static struct page nowhere;
static struct page *own = &nowhere;
static int own_fd = -1; /* locked as long as it is open */

static uint64_t hash_text(uint64_t hash, const char *text)
{
    do
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    while (*text++);
    return hash;
}

/* FNV-1a of all names, so that a page of another release is not misread. */
static uint64_t layout_of_tables(void)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < METRIC_COUNT + HISTOGRAM_COUNT; i++) {
        hash =
            hash_text(hash, i < METRIC_COUNT ? metrics[i].name : histograms[i - METRIC_COUNT].name);
        hash = hash_text(hash, i < METRIC_COUNT ? metrics[i].label : "");
    }
    return (hash ^ sizeof(struct page)) * UINT64_C(0x100000001b3);
}

/* ---- counting ---- */

static bool read_page(int fd, struct page *page)
{
    return pread(fd, page, sizeof(*page), 0) == (ssize_t)sizeof(*page) &&
           page->layout == layout_of_tables();
}

/* Takes the counters over and starts the rest from nothing. Written, not only mapped: a full file
 * system is an error here and not a SIGBUS later. */
static int start_page(int fd)
{
    struct page page;

    if (!read_page(fd, &page))
        memset(&page, 0, sizeof(page));
    page.layout = layout_of_tables();
    for (size_t i = 0; i < METRIC_COUNT; i++)
        if (metrics[i].type != TYPE_counter)
            page.values[i] = 0;
    ssize_t n = pwrite(fd, &page, sizeof(page), 0);
    if (n < 0)
        return -errno;
    return n == (ssize_t)sizeof(page) ? 0 : -ENOSPC;
}

/* The descriptor of a page that nobody has, locked; -errno. */
static int lock_page(int dir, const char *process)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char name[SOURCE_NAME_MAX];

    for (int i = 0; i < PAGES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%s-%d", process, i);
        int fd CLEANUP_FD = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -errno;
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
            return TAKE_FD(fd);
        if (errno != EAGAIN && errno != EACCES)
            return -errno;
    }
    return -EBUSY;
}

int metrics_open(const char *path, const char *process)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int dir CLEANUP_FD = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int fd CLEANUP_FD = lock_page(dir, process);
    if (fd < 0)
        return fd;
    int r = start_page(fd);
    if (r < 0)
        return r;
    void *p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    own = p;
    own_fd = TAKE_FD(fd);
    return 0;
}

void metrics_start(const struct config *config, const char *process)
{
    char *dir CLEANUP_FREE = config_metrics_dir(config);
    int r = config_make_run(config); /* the first of the processes may be this one */

    if (r == 0)
        r = metrics_open(dir, process);
    if (r < 0)
        log_warn("nothing is counted in %s: %s", dir, strerror(-r));
}

void metrics_leave(void)
{
    if (own != &nowhere)
        (void)munmap(own, sizeof(*own));
    own = &nowhere;
    cleanup_fd(&own_fd);
    own_fd = -1;
}

void metric_add(enum metric metric, uint64_t n)
{
    atomic_fetch_add_explicit(&own->values[metric], n, memory_order_relaxed);
}

void metric_sub(enum metric metric, uint64_t n)
{
    atomic_fetch_sub_explicit(&own->values[metric], n, memory_order_relaxed);
}

void metric_set(enum metric metric, uint64_t value)
{
    atomic_store_explicit(&own->values[metric], value, memory_order_relaxed);
}

void metric_observe(enum histogram histogram, uint64_t duration_us)
{
    size_t i = 0;

    while (i < BOUND_COUNT && duration_us > bounds[i].us)
        i++;
    atomic_fetch_add_explicit(&own->histograms[histogram].counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&own->histograms[histogram].sum_us, duration_us,
                              memory_order_relaxed);
}

/* ---- printing ---- */

struct source {
    char name[SOURCE_NAME_MAX]; /* of the file: the process and a number */
    bool is_alive;
    struct page page;
};

/* Only names that we give: what stands in a label needs no escaping. */
static bool name_is_plain(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz-0123456789");

    return len > 0 && len < SOURCE_NAME_MAX && !name[len];
}

/* Asks for the lock without taking it: a process that starts just now must find its page free. */
static bool is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool read_source(int dir, const char *name, struct source *ret)
{
    if (!name_is_plain(name))
        return false;
    int fd CLEANUP_FD = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || !read_page(fd, &ret->page))
        return false;
    memcpy(ret->name, name, strlen(name) + 1);
    ret->is_alive = is_locked(fd);
    return true;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The pages of `path` in the order of their names, newly allocated. */
static size_t read_sources(const char *path, struct source **ret)
{
    struct dirent **entries = NULL;
    int dir CLEANUP_FD = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int listed = dir < 0 ? 0 : scandir(path, &entries, NULL, compare_names);
    struct source *sources = xcalloc(PAGES_MAX, sizeof(*sources));
    size_t count = 0;

    for (int i = 0; i < listed; i++) {
        if (count < PAGES_MAX && read_source(dir, entries[i]->d_name, &sources[count]))
            count++;
        free(entries[i]);
    }
    free(entries);
    *ret = sources;
    return count;
}

static bool source_counts(const struct source *source, const char *process)
{
    size_t len = strlen(process);

    return strncmp(source->name, process, len) == 0 && source->name[len] == '-';
}

static void print_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_value(struct buffer *out, size_t metric, const struct source *source,
                        uint64_t now_ms)
{
    uint64_t value = source->page.values[metric];

    buffer_printf(out, "%s{%sprocess=\"%s\"} ", metrics[metric].name, metrics[metric].label,
                  source->name);
    if (metrics[metric].type == TYPE_age) {
        uint64_t age_ms = value != 0 && value < now_ms ? now_ms - value : 0;
        buffer_printf(out, "%" PRIu64 ".%03u\n", age_ms / 1000, (unsigned)(age_ms % 1000));
    } else {
        buffer_printf(out, "%" PRIu64 "\n", value);
    }
}

static void print_metric(struct buffer *out, size_t metric, const struct source *sources,
                         size_t count, uint64_t now_ms)
{
    bool is_counter = metrics[metric].type == TYPE_counter;

    if (metric == 0 || strcmp(metrics[metric].name, metrics[metric - 1].name) != 0)
        print_head(out, metrics[metric].name, is_counter ? "counter" : "gauge",
                   metrics[metric].help);
    for (size_t i = 0; i < count; i++)
        if (source_counts(&sources[i], metrics[metric].process) &&
            (is_counter || sources[i].is_alive))
            print_value(out, metric, &sources[i], now_ms);
}

static void print_histogram(struct buffer *out, size_t histogram, const struct source *source)
{
    const char *name = histograms[histogram].name;
    uint64_t sum_us = source->page.histograms[histogram].sum_us;
    uint64_t total = 0;

    for (size_t i = 0; i <= BOUND_COUNT; i++) {
        total += source->page.histograms[histogram].counts[i];
        buffer_printf(out, "%s_bucket{process=\"%s\",le=\"%s\"} %" PRIu64 "\n", name, source->name,
                      i < BOUND_COUNT ? bounds[i].text : "+Inf", total);
    }
    buffer_printf(out, "%s_sum{process=\"%s\"} %" PRIu64 ".%06u\n", name, source->name,
                  sum_us / 1000000, (unsigned)(sum_us % 1000000));
    buffer_printf(out, "%s_count{process=\"%s\"} %" PRIu64 "\n", name, source->name, total);
}

static void print_up(struct buffer *out, const struct source *sources, size_t count)
{
    print_head(out, "concord_process_up", "gauge", "1 while the process lives.");
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "concord_process_up{process=\"%s\"} %d\n", sources[i].name,
                      sources[i].is_alive ? 1 : 0);
}

void metrics_print(const char *dir, uint64_t now_ms, struct buffer *out)
{
    struct source *sources CLEANUP_FREE = NULL;
    size_t count = read_sources(dir, &sources);

    print_up(out, sources, count);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        print_metric(out, i, sources, count, now_ms);
    for (size_t i = 0; i < HISTOGRAM_COUNT; i++) {
        print_head(out, histograms[i].name, "histogram", histograms[i].help);
        for (size_t k = 0; k < count; k++)
            if (source_counts(&sources[k], histograms[i].process))
                print_histogram(out, i, &sources[k]);
    }
}
