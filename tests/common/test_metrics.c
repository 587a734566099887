#include "common/metrics.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static char dir[] = "/tmp/concord-metrics-XXXXXX";

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -r %s", dir);

    cr_expect_eq(system(command), 0);
}

TestSuite(metrics, .init = make_dir, .fini = remove_dir);

static bool is_printed(uint64_t now_ms, const char *text)
{
    struct buffer out = {0};

    metrics_print(dir, now_ms, &out);
    buffer_append(&out, "", 1);
    bool is_found = strstr((const char *)out.data, text);
    buffer_done(&out);
    return is_found;
}

/* Runs `count` in a process of its own, which has ended when this returns. */
static void in_a_process(void (*count)(void))
{
    pid_t pid = fork();
    int status;

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        count();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

static void count_as_roomd(void)
{
    if (metrics_open(dir, "roomd") != 0)
        _exit(1);
    metric_add(METRIC_ROOM_STARTS, 3);
    metric_add(METRIC_ROOMS, 2);
}

Test(metrics, are_printed_as_prometheus_reads_them)
{
    cr_assert_eq(metrics_open(dir, "snapshotd"), 0);
    metric_add(METRIC_STORE_UPDATES, 40);
    metric_add(METRIC_STORE_UPDATES, 2);
    metric_set(METRIC_STORE_UP, 1);
    cr_expect(is_printed(0, "# HELP concord_store_updates_total Edits stored.\n"
                            "# TYPE concord_store_updates_total counter\n"
                            "concord_store_updates_total{process=\"snapshotd-0\"} 42\n"));
    cr_expect(is_printed(0, "# TYPE concord_store_up gauge\n"
                            "concord_store_up{process=\"snapshotd-0\"} 1\n"));
    cr_expect(is_printed(0, "concord_process_up{process=\"snapshotd-0\"} 1\n"));
    cr_expect_not(is_printed(0, "concord_rooms{"), "another process counts these");
}

Test(metrics, limits_are_told_apart_by_a_label)
{
    cr_assert_eq(metrics_open(dir, "gateway"), 0);
    metric_add(METRIC_LIMITED_FRAGMENTS, 2);
    metric_add(METRIC_LIMITED_CONNECTIONS_USER, 3);
    cr_expect(is_printed(0, "# TYPE concord_limited_total counter\n"
                            "concord_limited_total{limit=\"head_bytes\",process=\"gateway-0\"} 0\n"
                            "concord_limited_total{limit=\"head_ms\","));
    cr_expect(
        is_printed(0, "\nconcord_limited_total{limit=\"fragments\",process=\"gateway-0\"} 2\n"));
    cr_expect(is_printed(
        0, "\nconcord_limited_total{limit=\"connections_user\",process=\"gateway-0\"} 3\n"));
    cr_expect_not(is_printed(0, "limit=\"rooms_tenant\",process=\"gateway"));
}

Test(metrics, ages_are_seconds_since_a_moment)
{
    cr_assert_eq(metrics_open(dir, "snapshotd"), 0);
    cr_expect(is_printed(5000, "concord_store_lag_seconds{process=\"snapshotd-0\"} 0.000\n"));
    metric_set(METRIC_STORE_UNSTORED_SINCE, 3950);
    cr_expect(is_printed(5000, "concord_store_lag_seconds{process=\"snapshotd-0\"} 1.050\n"));
    cr_expect(is_printed(3000, "concord_store_lag_seconds{process=\"snapshotd-0\"} 0.000\n"),
              "the clock was set back");
}

Test(metrics, histograms_are_cumulative)
{
    cr_assert_eq(metrics_open(dir, "snapshotd"), 0);
    metric_observe(HISTOGRAM_STORE_COMMIT, 500);
    metric_observe(HISTOGRAM_STORE_COMMIT, 501);
    metric_observe(HISTOGRAM_STORE_COMMIT, 7000000);
    cr_expect(is_printed(0, "_seconds_bucket{process=\"snapshotd-0\",le=\"0.0005\"} 1\n"));
    cr_expect(is_printed(0, "_seconds_bucket{process=\"snapshotd-0\",le=\"0.001\"} 2\n"));
    cr_expect(is_printed(0, "_seconds_bucket{process=\"snapshotd-0\",le=\"5\"} 2\n"));
    cr_expect(is_printed(0, "_seconds_bucket{process=\"snapshotd-0\",le=\"+Inf\"} 3\n"));
    cr_expect(is_printed(0, "concord_store_commit_seconds_sum{process=\"snapshotd-0\"} 7.001001\n"
                            "concord_store_commit_seconds_count{process=\"snapshotd-0\"} 3\n"));
}

Test(metrics, a_process_started_again_goes_on_counting)
{
    in_a_process(count_as_roomd);
    cr_expect(is_printed(0, "concord_process_up{process=\"roomd-0\"} 0\n"));
    cr_expect(is_printed(0, "concord_room_starts_total{process=\"roomd-0\"} 3\n"));
    cr_expect_not(is_printed(0, "concord_rooms{"), "a gauge of nobody");
    in_a_process(count_as_roomd);
    cr_expect(is_printed(0, "concord_room_starts_total{process=\"roomd-0\"} 6\n"));
    cr_assert_eq(metrics_open(dir, "roomd"), 0);
    cr_expect(is_printed(0, "concord_rooms{process=\"roomd-0\"} 0\n"));
}

Test(metrics, two_processes_of_a_kind_have_a_page_each)
{
    cr_assert_eq(metrics_open(dir, "roomd"), 0);
    in_a_process(count_as_roomd);
    metric_add(METRIC_ROOM_STARTS, 1);
    cr_expect(is_printed(0, "concord_room_starts_total{process=\"roomd-0\"} 1\n"
                            "concord_room_starts_total{process=\"roomd-1\"} 3\n"));
}

static void leave_and_count(void)
{
    metrics_leave();
    metric_add(METRIC_ROOM_STARTS, 100);
}

Test(metrics, a_forked_process_that_leaves_counts_nowhere)
{
    cr_assert_eq(metrics_open(dir, "roomd"), 0);
    in_a_process(leave_and_count);
    cr_expect(is_printed(0, "concord_room_starts_total{process=\"roomd-0\"} 0\n"));
    cr_expect(is_printed(0, "concord_process_up{process=\"roomd-0\"} 1\n"));
}

static void write_file(const char *name, const void *data, size_t len)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, name);
    int fd CLEANUP_FD = open(path, O_WRONLY | O_CREAT, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
}

Test(metrics, pages_of_nobody_we_know_are_left_out)
{
    static const uint8_t zeros[1 << 16];

    cr_assert_eq(metrics_open(dir, "roomd"), 0);
    write_file("roomd-7", zeros, sizeof(zeros));
    write_file("roomd-8", "short", 5);
    write_file("roomd-\"x", zeros, sizeof(zeros));
    cr_expect(is_printed(0, "concord_rooms{process=\"roomd-0\"} 0\n"));
    cr_expect_not(is_printed(0, "roomd-7"));
    cr_expect_not(is_printed(0, "roomd-8"));
    cr_expect_not(is_printed(0, "roomd-\""));
}

Test(metrics, a_page_of_another_release_is_started_anew)
{
    write_file("roomd-0", "another layout, and shorter", 27);
    cr_assert_eq(metrics_open(dir, "roomd"), 0);
    metric_add(METRIC_ROOM_STARTS, 1);
    cr_expect(is_printed(0, "concord_room_starts_total{process=\"roomd-0\"} 1\n"));
}

Test(metrics, without_a_directory_nothing_is_counted)
{
    cr_expect_eq(metrics_open("/proc/nowhere", "roomd"), -ENOENT);
    metric_add(METRIC_ROOM_STARTS, 1);
    cr_expect_not(is_printed(0, "roomd-0"));
}
