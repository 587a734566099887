/*
 * Every message between Concord's processes, declared once. From this table come the enum, the
 * structs, the encoders and decoders, the names and the route functions (proto.h), and with
 * `build/proto/proto_doc` the documentation.
 *
 * On the wire a message is a msgpack array [code, field, …] in table order. Codes are append-only,
 * and a message may only gain trailing fields; readers skip fields that they do not know.
 * Field types: u32, u64, flag, bytes (with the largest length that is accepted).
 */
#pragma once

/* Largest document or update that travels between processes. */
#define PROTO_UPDATE_MAX (192u << 20)
/* Largest update, state vector or awareness message of one client. */
#define PROTO_CLIENT_MAX (64u << 20)
#define PROTO_NAME_MAX   255u
#define PROTO_REASON_MAX 255u

/* M(code, name, NAME, who sends it to whom, what it means) */
#define PROTO_MESSAGES(M)                                                                          \
    M(1, room_open, ROOM_OPEN, "gateway to roomd", "asks for a room, started if it is not there")  \
    M(2, room_opened, ROOM_OPENED, "roomd to gateway",                                             \
      "the room is loaded; one end of a link to it is attached")                                   \
    M(3, room_refused, ROOM_REFUSED, "roomd to gateway", "no room, and why (enum refusal)")        \
    M(4, access_cap, ACCESS_CAP, "gateway to roomd, and roomd to every gateway",                   \
      "what a user may still do in a room with tokens issued up to `issued_s` (enum access)")      \
    M(10, room_link, ROOM_LINK, "roomd to room", "the room's end of a new link is attached")       \
    M(11, room_store, ROOM_STORE, "roomd to room",                                                 \
      "a connection to the store is attached; it replaces an earlier one")                         \
    M(12, room_ready, ROOM_READY, "room to roomd", "loaded: links may be handed out")              \
    M(13, room_failed, ROOM_FAILED, "room to roomd", "cannot load (enum refusal); it exits")       \
    M(14, room_idle, ROOM_IDLE, "room to roomd",                                                   \
      "unused, and everything is stored; `links` counts the links ever received")                  \
    M(15, room_close, ROOM_CLOSE, "roomd to room", "no link is on its way: mark closed and exit")  \
    M(16, room_shutdown, ROOM_SHUTDOWN, "roomd to room",                                           \
      "the host goes down: as soon as no link is left and all is stored, be idle")                 \
    M(17, room_detached, ROOM_DETACHED, "room to roomd",                                           \
      "its connection to the store has ended; a new one is wanted")                                \
    M(18, room_replace, ROOM_REPLACE, "room to roomd",                                             \
      "its segment has grown: it wants a file for the next one")                                   \
    M(19, room_next, ROOM_NEXT, "roomd to room",                                                   \
      "answers room_replace; with `has_file` an empty and locked one is attached")                 \
    M(21, room_rename, ROOM_RENAME, "room to roomd",                                               \
      "the next segment is complete: it shall have the room's name")                               \
    M(22, room_renamed, ROOM_RENAMED, "roomd to room",                                             \
      "answers room_rename: `is_done`, or the old segment still has the name")                     \
    M(23, room_adopt, ROOM_ADOPT, "room to roomd",                                                 \
      "first message on adopt.sock, of a room that lost its supervisor; its segment is attached")  \
    M(24, room_replace_failed, ROOM_REPLACE_FAILED, "room to roomd",                               \
      "the next segment could not be written: the old one goes on, for now")                       \
    M(20, store_room, STORE_ROOM, "roomd to snapshotd",                                            \
      "follow this room; a connection to it is attached")                                          \
    M(30, store_open, STORE_OPEN, "room to snapshotd",                                             \
      "first message: what the room's segment already holds")                                      \
    M(31, store_update, STORE_UPDATE, "snapshotd to room", "a part of the stored document (v1)")   \
    M(32, store_loaded, STORE_LOADED, "snapshotd to room",                                         \
      "the room holds all that is stored up to `stored_seq`")                                      \
    M(33, store_failed, STORE_FAILED, "snapshotd to room", "cannot be loaded; try again later")    \
    M(34, store_dirty, STORE_DIRTY, "room to snapshotd", "records were appended up to `last_seq`") \
    M(35, store_stored, STORE_STORED, "snapshotd to room",                                         \
      "everything up to `stored_seq` is in a committed transaction")                               \
    M(40, link_open, LINK_OPEN, "gateway to room",                                                 \
      "first message on a link; with `has_seen` the room sends what followed `seen_seq`, and the " \
      "whole document if that is a number of another `lineage`")                                   \
    M(41, session_join, SESSION_JOIN, "gateway to room", "a client joins")                         \
    M(42, session_leave, SESSION_LEAVE, "gateway to room", "a client is gone")                     \
    M(44, session_update, SESSION_UPDATE, "gateway to room", "a client's edit")                    \
    M(45, session_awareness, SESSION_AWARENESS, "gateway to room",                                 \
      "a client's presence (y-protocols awareness update)")                                        \
    M(46, session_access, SESSION_ACCESS, "gateway to room",                                       \
      "a client's right has changed: it holds from the next message on")                           \
    M(47, session_op, SESSION_OP, "gateway to room",                                               \
      "one operation of a client's lens; answered like session_update")                            \
    M(48, session_view, SESSION_VIEW, "gateway to room",                                           \
      "asks for the whole state of a client's lens again")                                         \
    M(61, room_update, ROOM_UPDATE, "room to gateway",                                             \
      "an accepted edit, for every client; `session` made it")                                     \
    M(62, room_awareness, ROOM_AWARENESS, "room to gateway",                                       \
      "presence: for every client but `except`, or for `only` if not 0")                           \
    M(63, room_applied, ROOM_APPLIED, "room to gateway",                                           \
      "a client's edit `op` is in the segment; stored as soon as `seq` is")                        \
    M(64, room_rejected, ROOM_REJECTED, "room to gateway",                                         \
      "a client's message `op` was refused (enum refusal)")                                        \
    M(65, room_stored, ROOM_STORED, "room to gateway",                                             \
      "everything up to `stored_seq` is in a committed transaction")                               \
    M(66, link_welcome, LINK_WELCOME, "room to gateway",                                           \
      "answers link_open at once: whose the numbers are, and how far they go; what comes after "   \
      "`last_seq` will be sent")                                                                   \
    M(67, room_view, ROOM_VIEW, "room to gateway",                                                 \
      "the whole state of a client's lens as of `seq`: when it joins, also over a new link, for "  \
      "session_view, and when what changed cannot be told; what follows comes as room_change")     \
    M(68, room_change, ROOM_CHANGE, "room to gateway",                                             \
      "what the edit `seq` of `session` changed as a lens sees it, behind the room_update of the " \
      "edit, to links with a client of the lens; nothing if the lens sees nothing of it")

/* F(type, name, largest length of bytes) */
#define PROTO_ROOM_OPEN_FIELDS(F)                                                                  \
    F(u32, request, 0) F(bytes, tenant, PROTO_NAME_MAX) F(bytes, room, PROTO_NAME_MAX)
#define PROTO_ROOM_OPENED_FIELDS(F)  F(u32, request, 0)
#define PROTO_ROOM_REFUSED_FIELDS(F) F(u32, request, 0) F(u32, refusal, 0)
/* Wall clock in seconds; see access_caps.h. */
#define PROTO_ACCESS_CAP_FIELDS(F)                                                                 \
    F(bytes, tenant, PROTO_NAME_MAX)                                                               \
    F(bytes, room, PROTO_NAME_MAX)                                                                 \
    F(bytes, user, PROTO_NAME_MAX) F(u32, access, 0) F(u64, issued_s, 0)
#define PROTO_ROOM_LINK_FIELDS(F) F(u32, links, 0) /* counted from 1 */
#define PROTO_ROOM_STORE_FIELDS(F)
#define PROTO_ROOM_READY_FIELDS(F)
/* `reason` is text for the log and for the mark of a quarantined room: to be escaped, as all that
 * a room says. */
#define PROTO_ROOM_FAILED_FIELDS(F) F(u32, refusal, 0) F(bytes, reason, PROTO_REASON_MAX)
#define PROTO_ROOM_IDLE_FIELDS(F)   F(u32, links, 0)
#define PROTO_ROOM_CLOSE_FIELDS(F)
#define PROTO_ROOM_SHUTDOWN_FIELDS(F)
#define PROTO_ROOM_DETACHED_FIELDS(F)
#define PROTO_ROOM_REPLACE_FIELDS(F)
#define PROTO_ROOM_NEXT_FIELDS(F) F(flag, has_file, 0)
#define PROTO_ROOM_REPLACE_FAILED_FIELDS(F)
#define PROTO_ROOM_RENAME_FIELDS(F)
#define PROTO_ROOM_RENAMED_FIELDS(F) F(flag, is_done, 0)
/* `links` as in room_idle; `is_ready`: as after room_ready; `has_store`: its connection stands. */
#define PROTO_ROOM_ADOPT_FIELDS(F)                                                                 \
    F(bytes, tenant, PROTO_NAME_MAX)                                                               \
    F(bytes, room, PROTO_NAME_MAX) F(u32, links, 0) F(flag, is_ready, 0) F(flag, has_store, 0)
#define PROTO_STORE_ROOM_FIELDS(F) F(bytes, tenant, PROTO_NAME_MAX) F(bytes, room, PROTO_NAME_MAX)
/* `lineage` (segment.h) says whose numbers the room's are; never 0. */
#define PROTO_STORE_OPEN_FIELDS(F)                                                                 \
    F(flag, has_segment, 0) F(u64, last_seq, 0) F(u64, lineage, 0) F(u64, stored_seq, 0)
#define PROTO_STORE_UPDATE_FIELDS(F) F(bytes, update, PROTO_UPDATE_MAX)
#define PROTO_STORE_LOADED_FIELDS(F) F(u64, stored_seq, 0)
#define PROTO_STORE_FAILED_FIELDS(F) F(u32, refusal, 0)
#define PROTO_STORE_DIRTY_FIELDS(F)  F(u64, last_seq, 0)
#define PROTO_STORE_STORED_FIELDS(F) F(u64, stored_seq, 0)
/* `lineage` is 0 if the gateway knows none. */
#define PROTO_LINK_OPEN_FIELDS(F) F(flag, has_seen, 0) F(u64, seen_seq, 0) F(u64, lineage, 0)
/* Session numbers are unique in a room: the gateway's number in the upper, a counter in the lower
 * half, never 0. `format` is that of the updates the client sends and gets (enum crdt_format);
 * `lens` is an enum lens. */
#define PROTO_SESSION_JOIN_FIELDS(F)                                                               \
    F(u64, session, 0) F(u32, format, 0) F(flag, is_read_only, 0) F(u32, lens, 0)
#define PROTO_SESSION_LEAVE_FIELDS(F) F(u64, session, 0)
#define PROTO_SESSION_UPDATE_FIELDS(F)                                                             \
    F(u64, session, 0) F(u64, op, 0) F(u32, format, 0) F(bytes, update, PROTO_CLIENT_MAX)
#define PROTO_SESSION_AWARENESS_FIELDS(F)                                                          \
    F(u64, session, 0) F(u64, op, 0) F(bytes, awareness, PROTO_CLIENT_MAX)
#define PROTO_SESSION_ACCESS_FIELDS(F) F(u64, session, 0) F(flag, is_read_only, 0)
/* `body` is in the words of the lens; for LENS_OPS the JSON text of one operation. */
#define PROTO_SESSION_OP_FIELDS(F)   F(u64, session, 0) F(u64, op, 0) F(bytes, body, PROTO_CLIENT_MAX)
#define PROTO_SESSION_VIEW_FIELDS(F) F(u64, session, 0)
/* `update_v2` is empty unless a client of this link joined with format 2, or the message answers
 * link_open: who will join is not known then. */
#define PROTO_ROOM_UPDATE_FIELDS(F)                                                                \
    F(u64, seq, 0)                                                                                 \
    F(u64, session, 0) F(bytes, update, PROTO_UPDATE_MAX) F(bytes, update_v2, PROTO_UPDATE_MAX)
#define PROTO_ROOM_AWARENESS_FIELDS(F)                                                             \
    F(u64, only, 0) F(u64, except, 0) F(bytes, awareness, PROTO_UPDATE_MAX)
#define PROTO_ROOM_APPLIED_FIELDS(F)  F(u64, session, 0) F(u64, op, 0) F(u64, seq, 0)
#define PROTO_ROOM_REJECTED_FIELDS(F) F(u64, session, 0) F(u64, op, 0) F(u32, refusal, 0)
#define PROTO_ROOM_STORED_FIELDS(F)   F(u64, stored_seq, 0)
#define PROTO_LINK_WELCOME_FIELDS(F)  F(u64, lineage, 0) F(u64, last_seq, 0) F(u64, stored_seq, 0)
/* In the words of the lens; for LENS_OPS a JSON list of runs, and JSON objects, each of them ended
 * by a newline. */
#define PROTO_ROOM_VIEW_FIELDS(F) F(u64, session, 0) F(u64, seq, 0) F(bytes, body, PROTO_UPDATE_MAX)
#define PROTO_ROOM_CHANGE_FIELDS(F)                                                                \
    F(u32, lens, 0) F(u64, seq, 0) F(u64, session, 0) F(bytes, body, PROTO_UPDATE_MAX)
