/*
 * doc_plan: an update on its way into a document: decoded to a batch, put in order by a plan, then
 * committed step by step.
 */
#pragma once

#include "doc.h"

/* ---- doc_batch.c: the structs of one update, decoded ---- */

struct group {
    uint64_t client_id;
    uint32_t client;
    uint32_t first; /* of its structs in the batch */
    uint32_t count;
    uint32_t next;
    bool is_parked; /* what follows from `next` on has to wait */
};

struct batch {
    struct crdt_reader *reader; /* owns what the structs point to, beside the update */
    struct crdt_struct *structs;
    uint32_t count;
    uint32_t cap;
    struct group *groups; /* descending by client id */
    uint32_t group_count;
    uint32_t group_cap;
    struct range_list deletes; /* as they came, but for empty ones */
};

CRDT_WARN_UNUSED int batch_decode(struct batch *batch, enum crdt_format format,
                                  const uint8_t *update, size_t len,
                                  const struct crdt_limits *limits);
void batch_done(struct batch *batch);

/* ---- doc_plan.c ---- */

struct step {
    const struct crdt_struct *s;
    uint32_t client;
};

/* Of the client with this index. */
struct deletion {
    uint32_t client;
    uint32_t clock;
    uint32_t len;
};

struct plan {
    struct batch incoming;
    struct batch retried;  /* what was pending, if the update may set it free */
    struct crdt_buf retry; /* the bytes of `retried` */
    uint32_t client_count; /* of the document, before */

    struct step *steps; /* structs in the order of their integration */
    uint32_t step_count;
    uint32_t step_cap;
    struct deletion *deletes; /* of clocks that will be there then */
    uint32_t delete_count;
    uint32_t delete_cap;

    uint32_t *stack; /* structs that wait for others of the same batch */
    uint32_t stack_count;
    uint32_t stack_cap;
    uint32_t *touched; /* clients with a need */
    uint32_t touched_count;
    uint32_t touched_cap;

    /* What becomes of doc->pending. */
    size_t drop_updates;       /* so many of its last updates are in `retried` or `rest` */
    struct crdt_buf rest;      /* structs that wait, v2; empty if none */
    struct range_list covered; /* by `rest` */
    struct range_list missing;
    bool replaces_deletes; /* deletes_left is all of them, not only what is new */
    struct range_list deletes_left;
};

/* Decides what of plan->incoming and of what is pending can be integrated, and prepares what will
 * be pending afterwards. */
CRDT_WARN_UNUSED int plan_make(struct crdt_doc *doc, struct plan *plan);
/* Reserves all memory that committing the plan can need. */
CRDT_WARN_UNUSED int plan_reserve(struct crdt_doc *doc, struct plan *plan);
/* After the commit: gives back what was reserved for the worst case and not needed. */
void plan_trim(struct crdt_doc *doc);
/* Ends a plan; `is_committed` false takes back what it left in the document. */
void plan_done(struct crdt_doc *doc, struct plan *plan, bool is_committed);

/* ---- doc_integrate.c ---- */

/* Integrates a struct from the client's state on; everything it needs is there and reserved. */
void doc_integrate(struct crdt_doc *doc, const struct step *step);

/* ---- doc_pending.c ---- */

uint64_t pending_bytes(const struct pending *pending);
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
