/*
 * metrics: the figures that a process counts, and /metrics, which prints those of all processes of
 * the host in Prometheus's text format (exposition format 0.0.4). Declared once, in the tables
 * below.
 *
 * Each process counts in a page of its own, a file in `run`/metrics that it maps: counting is one
 * relaxed atomic addition, and who prints needs no message to anyone. A process that is started
 * again takes its page over, so counters go on where they were; a page is locked while its process
 * lives. Gauges and ages of a process that is gone are not printed.
 */
#pragma once

#include "common/buffer.h"
#include "common/client_limits.h"
#include "common/config.h"
#include "common/memory.h"

#include <stdint.h>

/* M(name, process, type, Prometheus name, help); the process is the one that counts it. */
#define METRICS(M)                                                                                 \
    M(GATEWAY_CLIENTS, gateway, gauge, "concord_clients", "Clients that are connected.")           \
    M(GATEWAY_JOINS, gateway, counter, "concord_joins_total", "Clients that joined a room.")       \
    M(GATEWAY_REFUSALS, gateway, counter, "concord_refusals_total",                                \
      "Clients that were closed with a refusal.")                                                  \
    M(GATEWAY_BAD_TOKENS, gateway, counter, "concord_refused_tokens_total",                        \
      "Tokens that were not valid.")                                                               \
    M(GATEWAY_TLS_FAILURES, gateway, counter, "concord_tls_failures_total",                        \
      "Connections whose TLS handshake failed.")                                                   \
    M(ROOMS, roomd, gauge, "concord_rooms", "Rooms that have a process.")                          \
    M(ROOM_STARTS, roomd, counter, "concord_room_starts_total", "Room processes started.")         \
    M(ROOM_RESTARTS, roomd, counter, "concord_room_restarts_total",                                \
      "Room processes started again after one that crashed.")                                      \
    M(ROOM_ADOPTIONS, roomd, counter, "concord_room_adoptions_total",                              \
      "Rooms taken over from an earlier supervisor.")                                              \
    M(ROOMS_QUARANTINED, roomd, gauge, "concord_rooms_quarantined",                                \
      "Rooms that are not started because they crashed again and again or are damaged.")           \
    M(SEGMENT_REPLACEMENTS, roomd, counter, "concord_segment_replacements_total",                  \
      "Segments that grew and were replaced by a new one.")                                        \
    M(SEGMENT_REPLACEMENT_FAILURES, roomd, counter, "concord_segment_replacement_failures_total",  \
      "Times that a segment could not be replaced, and went on.")                                  \
    M(STORE_UP, snapshotd, gauge, "concord_store_up", "1 while the store answers.")                \
    M(STORE_UNSTORED_SINCE, snapshotd, age, "concord_store_lag_seconds",                           \
      "Age of the oldest edit that waits to be stored.")                                           \
    M(STORE_QUEUE_ROOMS, snapshotd, gauge, "concord_store_queue_rooms",                            \
      "Rooms with edits that wait to be stored.")                                                  \
    M(STORE_UPDATES, snapshotd, counter, "concord_store_updates_total", "Edits stored.")           \
    M(STORE_FOLDS, snapshotd, counter, "concord_store_folds_total",                                \
      "Times that a room's edits were folded into its snapshot.")                                  \
    M(STORE_FOLD_FAILURES, snapshotd, counter, "concord_store_fold_failures_total",                \
      "Times that a room's edits could not be folded, and stayed as they are.")                    \
    M(STORE_FAILURES, snapshotd, counter, "concord_store_failures_total",                          \
      "Times that the store failed and was opened again.")

/* One more for each row of CLIENT_LIMITS, METRIC_LIMITED_NAME: they are told apart by a label. */
#define LIMITED_METRIC "concord_limited_total"
#define LIMITED_HELP   "Times that a client was over a limit, by the setting limit_…."

/* H(name, process, Prometheus name, help); of durations. */
#define HISTOGRAMS(H)                                                                              \
    H(ROOM_START, roomd, "concord_room_start_seconds",                                             \
      "Time from the start of a room's process until it was ready for clients.")                   \
    H(STORE_COMMIT, snapshotd, "concord_store_commit_seconds",                                     \
      "Time that a transaction took, of all rooms together.")

enum metric {
#define METRIC_ENUM(name, process, type, text, help) METRIC_##name,
    METRICS(METRIC_ENUM)
#undef METRIC_ENUM
#define METRIC_ENUM(NAME, name, process, least, most, fallback, help) METRIC_LIMITED_##NAME,
        CLIENT_LIMITS(METRIC_ENUM)
#undef METRIC_ENUM
            METRIC_COUNT
};

enum histogram {
#define HISTOGRAM_ENUM(name, process, text, help) HISTOGRAM_##name,
    HISTOGRAMS(HISTOGRAM_ENUM)
#undef HISTOGRAM_ENUM
        HISTOGRAM_COUNT
};

/* Takes the first free page of `process` ("gateway", "roomd", "snapshotd") in `dir`, which is made
 * if need be, for the life of this process. Before, and if this fails (-errno), the figures go
 * nowhere. */
WARN_UNUSED int metrics_open(const char *dir, const char *process);

/* metrics_open() in the directory that the configuration says; a failure is logged and no more. */
void metrics_start(const struct config *config, const char *process);

/* Lets go of the page; what is counted from here on goes nowhere. A forked process does this first:
 * the page, and its lock, stay the parent's. */
void metrics_leave(void);

void metric_add(enum metric metric, uint64_t n);
void metric_sub(enum metric metric, uint64_t n); /* a gauge only */
/* A gauge's value; for an age the wall clock in milliseconds when it began, 0 if nothing is. */
void metric_set(enum metric metric, uint64_t value);
void metric_observe(enum histogram histogram, uint64_t duration_us);

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the figures of all pages in `dir`. `now_ms`: the wall clock. A page that makes no sense
 * is left out. */
void metrics_print(const char *dir, uint64_t now_ms, struct buffer *out);
