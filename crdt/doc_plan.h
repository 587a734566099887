/*
 * doc_plan: an update on its way into a document: decoded to a batch, put in order by a plan, then
 * committed step by step.
 */
#pragma once

#include "doc.h"
#include "text_units.h"

/* ---- doc_batch.c: the structs of one update, decoded ---- */

/* A client that the update names. */
struct batch_client {
    uint64_t id;
    uint32_t client; /* of the document; NIL: unknown to it */
    uint32_t group;  /* its structs; NIL: none */
    uint32_t state;  /* in the document before the commit, */
    uint32_t last;   /* and its last item then */
};

/* A struct: crdt_struct in a third of the bytes. Clients are indices into batch->clients. */
struct record {
    const uint8_t *bytes; /* of the content */
    uint32_t bytes_len;
    uint32_t clock;
    uint32_t len;
    uint32_t client;
    uint32_t origin_client; /* NIL: no origin */
    uint32_t origin_clock;
    uint32_t right_client; /* NIL: no right origin */
    uint32_t right_clock;
    uint32_t rare; /* index into batch->rares; NIL: nothing there */
    uint8_t info;
    uint8_t parent; /* enum crdt_parent */
    uint8_t type_ref;
    bool value_is_any;
};

/* What most structs have not. */
struct rare {
    struct crdt_slice parent_name;
    struct crdt_slice parent_sub;
    struct crdt_slice key;
    uint32_t parent_client; /* NIL: the parent is not an item */
    uint32_t parent_clock;
};

struct group {
    uint32_t client;
    uint32_t first; /* of its structs in the batch */
    uint32_t count;
    uint32_t next;
    bool is_parked; /* what follows from `next` on has to wait */
};

/* Clocks of a client of the batch, or of the document. */
struct deletion {
    uint32_t client;
    uint32_t clock;
    uint32_t len;
};

struct batch {
    struct crdt_reader *reader; /* owns what the structs point to, beside the update */
    struct record *records;
    uint32_t count;
    uint32_t cap;
    struct rare *rares;
    uint32_t rare_count;
    uint32_t rare_cap;
    struct group *groups; /* descending by client id */
    uint32_t group_count;
    uint32_t group_cap;
    struct deletion *deletes; /* as they came, but for empty ones */
    uint32_t delete_count;
    uint32_t delete_cap;
    struct batch_client *clients;
    uint32_t client_count;
    uint32_t client_cap;
    uint32_t last_client; /* that was named */
    struct table client_table;
    bool is_streamed;  /* see doc_stream.c */
    bool has_streamed; /* something is in the document already */
};

/* Decodes an update; a batch keeps the limits of the first time. Clients that have structs in it
 * become known to the document. With batch->is_streamed, set by the caller, what can be integrated
 * at once is; -EAGAIN if it must not have been. */
CRDT_WARN_UNUSED int batch_decode(struct crdt_doc *doc, struct batch *batch,
                                  const struct crdt_limits *limits, enum crdt_format format,
                                  const uint8_t *update, size_t len);
/* Empties a batch; memory stays, if it is not much. */
void batch_reset(struct batch *batch);
void batch_done(struct batch *batch);
uint64_t batch_bytes(const struct batch *batch);
/* Undoes the decoding of a struct. */
void batch_describe(const struct batch *batch, const struct record *record,
                    struct crdt_struct *ret_struct);

int batch_intern(struct crdt_doc *doc, struct batch *batch, uint64_t id, uint32_t *ret_client);

/* The index of a client in the batch, most often that of the one which was named last. -ENOMEM. */
static inline int batch_client(struct crdt_doc *doc, struct batch *batch, uint64_t id,
                               uint32_t *ret_client)
{
    uint32_t last = batch->last_client;

    if (last >= batch->client_count || batch->clients[last].id != id)
        return batch_intern(doc, batch, id, ret_client);
    *ret_client = last;
    return 0;
}

static inline enum crdt_ref record_ref(const struct record *record)
{
    return (enum crdt_ref)(record->info & CRDT_INFO_REF);
}

/* ---- doc_stream.c: updates into an empty document ---- */

bool stream_is_possible(const struct crdt_doc *doc);
CRDT_WARN_UNUSED int stream_begin(struct crdt_doc *doc, size_t len);
/* Integrates a struct that is no client's first in the update, if that is simple: 1 or 0. */
CRDT_WARN_UNUSED int stream_plain(struct crdt_doc *doc, struct batch *batch,
                                  const struct crdt_struct *s);
/* Integrates the only struct of a batch; if it has to wait, streaming ends with it. */
CRDT_WARN_UNUSED int stream_record(struct crdt_doc *doc, struct batch *batch);
/* The same for a range of deletes; 0 if it has to wait. */
CRDT_WARN_UNUSED int stream_delete(struct crdt_doc *doc, struct batch *batch,
                                   const struct deletion *d);

/* What makes large updates faster. */
struct loading {
    uint32_t *ends; /* items by a hash of where they end; any may be missing or outdated */
    uint32_t mask;
    /* Structs that were joined to their left neighbour, and splits that named neighbours caused: a
     * replica that has joined its structs itself sends what is only split again. */
    uint32_t joined;
    uint32_t split;
};

static inline uint32_t *loading_slot(const struct loading *loading, uint32_t client, uint32_t end)
{
    return &loading->ends[((client ^ end) * UINT32_C(0x9e3779b1)) >> 8 & loading->mask];
}

/* Is it worth trying to join structs? */
static inline bool loading_joins(const struct loading *loading)
{
    return loading->joined < 64 || loading->split < loading->joined / 2;
}

/* ---- doc_plan.c ---- */

enum verdict {
    VERDICT_SKIP,  /* nothing to do */
    VERDICT_APPLY, /* everything it needs is there */
    VERDICT_AHEAD, /* clocks of its own client are missing */
    VERDICT_WAIT,  /* clocks of another client are missing */
};

/* Can a struct be integrated? 0 or -EBADMSG; `*ret_missing` is the client that a VERDICT_WAIT waits
 * for. */
CRDT_WARN_UNUSED int record_examine(const struct crdt_doc *doc, const struct batch *batch,
                                    const struct record *record, enum verdict *ret_verdict,
                                    uint32_t *ret_missing);

/* A value that is replaced: it is deleted when no insertion can fail any more. Until then it may be
 * split, but for an empty one, which keeps its index. */
struct doomed {
    struct deletion clocks;
    uint32_t item;
};

/* An item that was cut in two, and the content it had. */
struct split {
    uint32_t client;
    uint32_t clock; /* of the right part */
    uint32_t content;
    uint32_t content_len;
    uint32_t pair_at; /* where the text had a surrogate pair that was cut; 0: none was */
    uint8_t pair[4];
};

/* What the document was before the insertions of a commit, see doc_retract.c. */
struct mark {
    uint32_t type_count;
    uint32_t entry_count;
    uint32_t name_count;
    uint32_t text_len;
    uint32_t payload_len;
    struct split *splits; /* since then */
    uint32_t split_count;
    uint32_t split_cap;
};

/* Zero-initialise. What it needs memory for is kept from one update to the next. */
struct plan {
    struct batch incoming;
    struct batch retried; /* what was pending, if the update may set it free */
    bool has_retried;
    struct crdt_buf retry; /* the bytes of `retried` */
    uint32_t client_count; /* of the document, before */

    uint32_t *steps; /* structs in the order of their integration: those of `incoming`, */
    uint32_t step_count;
    uint32_t step_cap;
    uint32_t incoming_steps;  /* so many, then those of `retried` */
    struct deletion *deletes; /* of clocks that will be there then, by client of the document */
    uint32_t delete_count;
    uint32_t delete_cap;

    struct doomed *doomed;
    uint32_t doomed_count;
    uint32_t doomed_cap;
    struct mark mark;

    uint32_t *stack; /* structs that wait for others of the same batch */
    uint32_t stack_count;
    uint32_t stack_cap;

    /* What becomes of doc->pending. */
    size_t drop_updates;       /* so many of its last updates are in `retried` or `rest` */
    struct crdt_buf rest;      /* structs that wait, v2; empty if none */
    uint64_t rest_structs;     /* in it, at most */
    struct range_list covered; /* by `rest` */
    struct range_list missing;
    bool replaces_deletes; /* deletes_left is all of them, not only what is new */
    struct range_list deletes_left;
};

/* Wants to know what an update changes in what is seen of a root list (doc_watch.c). */
struct watch {
    struct crdt_slice root;
    crdt_units_fn fn;
    void *ctx;
    bool is_armed;             /* the commit has begun */
    struct range_list removed; /* seen before, and deleted by the update */
    struct deletion *cuts;     /* surrogate pairs that were cut: both halves */
    uint32_t cut_count;
    uint32_t cut_cap;
};

struct scratch {
    struct plan plan;
    struct crdt_writer *writer; /* doc_edit.c */
    struct crdt_buf update;
    struct range_list deletes;
    struct loading loading;
};

/* Starts a plan in the scratch memory of the document. NULL: out of memory. */
struct plan *plan_start(struct crdt_doc *doc);
/* Decides what of plan->incoming and of what is pending can be integrated, and prepares what will
 * be pending afterwards. */
CRDT_WARN_UNUSED int plan_make(struct crdt_doc *doc, struct plan *plan);
/* Reserves all memory that one struct can need, or one range of deletes of a client. */
CRDT_WARN_UNUSED int record_reserve(struct crdt_doc *doc, const struct batch *batch,
                                    const struct record *record);
CRDT_WARN_UNUSED int delete_reserve(struct crdt_doc *doc, uint32_t client);
/* Reserves all memory that committing the plan can need. */
CRDT_WARN_UNUSED int plan_reserve(struct crdt_doc *doc, struct plan *plan);
/* After the commit: gives back what was reserved for the worst case and not needed. */
void plan_trim(struct crdt_doc *doc);
/* Ends a plan; `is_committed` false takes back what it left in the document. */
void plan_end(struct crdt_doc *doc, struct plan *plan, bool is_committed);
/* Drops all that a plan knows of a document that has been cleared. */
void plan_forget(struct plan *plan);
void scratch_free(struct scratch *scratch);
uint64_t scratch_bytes(const struct scratch *scratch);

/* ---- doc.c ---- */

/* Makes a document empty. */
void doc_clear(struct crdt_doc *doc);

/* crdt_doc_apply(), for an update that leaves what is before doc->cursor as it is. */
CRDT_WARN_UNUSED int doc_apply(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update,
                               size_t len, struct crdt_applied *ret_applied);

/* ---- doc_integrate.c ---- */

/* Starts doc->loading for an update of `len` bytes; without memory there is none. */
void loading_begin(struct crdt_doc *doc, size_t len);
void loading_end(struct crdt_doc *doc);

/* Integrates a struct from the client's state on; everything it needs is there and reserved.
 * -E2BIG: the update has taken too many steps, and the struct is not in the document. */
CRDT_WARN_UNUSED int doc_integrate(struct crdt_doc *doc, const struct batch *batch,
                                   const struct record *record);
/* The same for a text, or what is left of one, that begins at the client's state and has an origin,
 * right origin, or both, of these clients. */
CRDT_WARN_UNUSED int doc_integrate_plain(struct crdt_doc *doc, const struct crdt_struct *s,
                                         uint32_t client, uint32_t origin_client,
                                         uint32_t right_client);

/* ---- doc_watch.c ---- */

/* Before the commit, for which everything is reserved: notes what it will delete, and makes room
 * for what there will be to note. */
CRDT_WARN_UNUSED int watch_arm(struct crdt_doc *doc, const struct plan *plan);
/* After the commit: reports. */
void watch_report(struct crdt_doc *doc, const struct plan *plan);

/* ---- doc_retract.c ---- */

/* Notes what the document is, before the insertions of a commit. */
void doc_mark(struct crdt_doc *doc, struct plan *plan);
/* Takes back all insertions since doc_mark(). */
void doc_retract(struct crdt_doc *doc, struct plan *plan);

/* ---- doc_pending.c ---- */

uint64_t pending_bytes(const struct pending *pending);
uint64_t pending_memory(const struct pending *pending); /* that it holds */
/* Is a clock that pending structs wait for now below the client's planned state? */
bool pending_is_ready(struct crdt_doc *doc, const struct batch *batch);
/* Are there pending deletes below the planned state of a client of this batch? */
bool pending_deletes_are_ready(struct crdt_doc *doc, const struct batch *batch);
/* Appends the waiting structs, and those of `more` if it is not empty, as one v2 update. */
CRDT_WARN_UNUSED int pending_merge(const struct pending *pending, const struct crdt_buf *more,
                                   const struct crdt_limits *limits, struct crdt_buf *out);
/* Makes room for what pending_commit() will add, and checks the limit. */
CRDT_WARN_UNUSED int pending_reserve(struct crdt_doc *doc, struct plan *plan);
/* Takes over what the plan prepared. Returns whether something changed. */
bool pending_commit(struct crdt_doc *doc, struct plan *plan);
void pending_done(struct pending *pending);
