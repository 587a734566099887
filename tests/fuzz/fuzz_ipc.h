/*
 * fuzz_ipc: what the targets share that play a hostile room before a process of ours, which runs in
 * the target's own.
 *
 * An input is a first octet, whose lowest bit says that the rest are the bytes on the wire; else
 * the rest are bodies of frames, each behind its length in two octets (little endian).
 */
#pragma once

#include "fuzz.h"

#include "common/ipc.h"

#include <ftw.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 100000 /* of a loop, for what must happen */

static char fuzz_dir[] = "/tmp/concord-fuzz-XXXXXX";

static inline int fuzz_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void fuzz_remove_dir(void)
{
    (void)nftw(fuzz_dir, fuzz_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A directory that goes with the process. */
static inline void fuzz_make_dir(void)
{
    CHECK(mkdtemp(fuzz_dir));
    CHECK(atexit(fuzz_remove_dir) == 0);
}

/* Writes all of it, with turns of the loop for who reads; or until nobody does any more. NULL: as
 * much as the socket takes. */
static inline void fuzz_send(struct loop *loop, int fd, const uint8_t *bytes, size_t len)
{
    for (int i = 0; i < TURNS_MAX && len > 0; i++) {
        ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return;
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        if (loop)
            loop_turn(loop);
    }
}

/* The input, which is not empty. */
static inline void fuzz_send_input(struct loop *loop, int fd, const uint8_t *data, size_t size)
{
    const uint8_t *at = data + 1;
    size_t left = size - 1;

    if (data[0] & 1)
        fuzz_send(loop, fd, at, left);
    while (!(data[0] & 1) && left >= 2) {
        size_t body = at[0] | (size_t)at[1] << 8;
        uint8_t head[IPC_HEADER];
        body = body < left - 2 ? body : left - 2;
        for (unsigned i = 0; i < IPC_HEADER; i++)
            head[i] = (uint8_t)(body >> (8 * i));
        fuzz_send(loop, fd, head, sizeof(head));
        fuzz_send(loop, fd, at + 2, body);
        at += 2 + body;
        left -= 2 + body;
    }
}

/* Puts a number wherever its name of eight octets stands, in msgpack's order of octets. */
static inline void fuzz_name_number(uint8_t *bytes, size_t len, const char *name, uint64_t number)
{
    for (size_t i = 0; i + 8 <= len; i++) {
        if (memcmp(bytes + i, name, 8) != 0)
            continue;
        for (unsigned k = 0; k < 8; k++)
            bytes[i + k] = (uint8_t)(number >> (56 - 8 * k));
    }
}
