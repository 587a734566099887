#include "ctl/doc.h"

#include "crdt/lib0.h"
#include "ctl/arguments.h"
#include "ctl/doc_input.h"
#include "ctl/doc_show.h"
#include "ctl/output.h"

#include <errno.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

struct request {
    const char *root;
    const char *as;
    const char *from;
    const char *to;
    const char *state_vector;
    const char *since;
    const char *output;
    bool is_json;
    enum crdt_kind kind;    /* of `as` */
    enum crdt_format read;  /* of `from`; 0: it is found out */
    enum crdt_format write; /* of `to`; 0: as the command says */
};

static int run_json(const struct request *q, struct doc_input *input, struct crdt_buf *out);
static int run_text(const struct request *q, struct doc_input *input, struct crdt_buf *out);
static int run_stat(const struct request *q, struct doc_input *input, struct crdt_buf *out);
static int run_merge(const struct request *q, struct doc_input *input, struct crdt_buf *out);
static int run_diff(const struct request *q, struct doc_input *input, struct crdt_buf *out);
static int run_convert(const struct request *q, struct doc_input *input, struct crdt_buf *out);
static int run_sv(const struct request *q, struct doc_input *input, struct crdt_buf *out);

enum form {
    JSON = 1u << 0,
    TEXT = 1u << 1,
    STAT = 1u << 2,
    MERGE = 1u << 3,
    DIFF = 1u << 4,
    CONVERT = 1u << 5,
    SV = 1u << 6,
};

#define EVERY (JSON | TEXT | STAT | MERGE | DIFF | CONVERT | SV)

static const struct form_entry {
    const char *name;
    enum form form;
    bool gives_bytes; /* which no terminal should get */
    int (*run)(const struct request *q, struct doc_input *input, struct crdt_buf *out);
    const char *help;
} forms[] = {
    {"json", JSON, false, run_json, "all roots, or --root, as one line of JSON"},
    {"text", TEXT, false, run_text, "the plain text of a root, to the byte"},
    {"stat", STAT, false, run_stat, "what is in the files: structs, clients, roots"},
    {"merge", MERGE, true, run_merge, "one update that stands for all files"},
    {"diff", DIFF, true, run_diff, "what a replica lacks that has --sv or --since"},
    {"convert", CONVERT, true, run_convert, "the same in the other format"},
    {"sv", SV, true, run_sv, "the state vector of the files"},
};

#define OPT(name, letter, value, field, scope, help)                                               \
    {                                                                                              \
        name, letter, value, offsetof(struct request, field), scope, help                          \
    }

static const struct option options[] = {
    OPT("--root", NULL, "NAME", root, JSON | TEXT, "the root that is meant"),
    OPT("--as", NULL, "KIND", as, JSON, "read the root as map, array, text, delta or xml"),
    OPT("--json", NULL, NULL, is_json, STAT, "print JSON"),
    OPT("--sv", NULL, "FILE", state_vector, DIFF, "a state vector: what the replica has"),
    OPT("--since", NULL, "FILE", since, DIFF, "an update: what the replica has"),
    OPT("--from", NULL, "v1|v2", from, EVERY, "format of the files (it is found out)"),
    OPT("--to", NULL, "v1|v2", to, MERGE | DIFF | CONVERT,
        "format of the result (that of the first file; for convert the other one)"),
    OPT("--output", "-o", "FILE", output, EVERY,
        "write into FILE, which is replaced as a whole; - is stdout"),
};

static const struct option_table table = {.options = options, .count = ARRAY_LEN(options)};

/* ---- forms ---- */

static int complain(const char *what, int error)
{
    (void)fprintf(stderr, "concordctl: %s: %s\n", what, doc_strerror(error));
    return error;
}

static enum crdt_format format_of_result(const struct request *q, const struct doc_input *input)
{
    return q->write ? q->write : input->files[0].format;
}

static struct crdt_slice slice_of_buf(const struct crdt_buf *buf)
{
    return (struct crdt_slice){buf->data, buf->len};
}

/* Brings every file into one format. */
static int convert_all(struct doc_input *input, enum crdt_format format)
{
    for (size_t i = 0; i < input->count; i++) {
        struct doc_file *f = &input->files[i];
        struct crdt_buf converted = {0};
        if (f->format == format)
            continue;
        int r = crdt_update_convert(f->format, doc_file_slice(f), format, NULL, &converted);
        if (r < 0)
            return complain(f->name, r);
        f->format = format;
        f->bytes.len = 0;
        buffer_append(&f->bytes, converted.data, converted.len);
        crdt_buf_done(&converted);
    }
    return 0;
}

static int merge(struct doc_input *input, enum crdt_format format, struct crdt_buf *out)
{
    int r = convert_all(input, format);

    if (r < 0)
        return r;
    struct crdt_slice *updates = xcalloc(input->count, sizeof(*updates));
    for (size_t i = 0; i < input->count; i++)
        updates[i] = doc_file_slice(&input->files[i]);
    r = crdt_update_merge(format, updates, input->count, NULL, out);
    free(updates);
    return r < 0 ? complain("the merged update", r) : 0;
}

static int run_json(const struct request *q, struct doc_input *input, struct crdt_buf *out)
{
    return doc_show_json(input, q->root, q->as ? &q->kind : NULL, out);
}

static int run_text(const struct request *q, struct doc_input *input, struct crdt_buf *out)
{
    return doc_show_text(input, q->root, out);
}

static int run_stat(const struct request *q, struct doc_input *input, struct crdt_buf *out)
{
    return doc_show_stat(input, q->is_json, out);
}

static int run_merge(const struct request *q, struct doc_input *input, struct crdt_buf *out)
{
    return merge(input, format_of_result(q, input), out);
}

static int run_convert(const struct request *q, struct doc_input *input, struct crdt_buf *out)
{
    enum crdt_format other = input->files[0].format == CRDT_V1 ? CRDT_V2 : CRDT_V1;

    return merge(input, q->write ? q->write : other, out);
}

/* Appends the state vector of all files. */
static int run_sv(const struct request *q, struct doc_input *input, struct crdt_buf *out)
{
    struct crdt_buf merged = {0};
    enum crdt_format format = format_of_result(q, input);
    int r = merge(input, format, &merged);

    if (r == 0) {
        r = crdt_update_state_vector(format, slice_of_buf(&merged), NULL, out);
        if (r < 0)
            (void)complain("the merged update", r);
    }
    crdt_buf_done(&merged);
    return r;
}

static int check_state_vector(const struct doc_file *file)
{
    struct crdt_buf unused = {0};
    struct crdt_slice nothing = {(const uint8_t *)"\0\0", 2};
    int r = crdt_update_diff(CRDT_V1, nothing, doc_file_slice(file), NULL, &unused);

    crdt_buf_done(&unused);
    if (r < 0)
        (void)fprintf(stderr, "concordctl: %s: is no state vector\n", file->name);
    return r;
}

/* Appends what the replica has. `input` tells whether stdin is still to be read. */
static int read_replica(const struct request *q, const struct doc_input *input,
                        struct crdt_buf *out)
{
    struct doc_input replica = {.has_stdin = input->has_stdin};
    int r = q->since ? doc_input_read_update(&replica, q->since, q->read)
                     : doc_input_read(&replica, q->state_vector);

    if (r == 0 && q->since)
        r = run_sv(q, &replica, out);
    else if (r == 0 && (r = check_state_vector(&replica.files[0])) == 0)
        lib0_write_bytes(out, replica.files[0].bytes.data, replica.files[0].bytes.len);
    doc_input_done(&replica);
    return r;
}

static int run_diff(const struct request *q, struct doc_input *input, struct crdt_buf *out)
{
    struct crdt_buf merged = {0}, sv = {0};
    enum crdt_format format = format_of_result(q, input);
    int r = read_replica(q, input, &sv);

    if (r == 0)
        r = merge(input, format, &merged);
    if (r == 0) {
        r = crdt_update_diff(format, slice_of_buf(&merged), slice_of_buf(&sv), NULL, out);
        if (r < 0)
            (void)complain("the difference", r);
    }
    crdt_buf_done(&merged);
    crdt_buf_done(&sv);
    return r;
}

/* ---- the command line ---- */

static int misused(const char *why)
{
    (void)fprintf(stderr, "concordctl: %s; `concordctl doc --help` tells more\n", why);
    return -EINVAL;
}

/* 0: none is given. */
static int parse_format(const char *name, enum crdt_format *ret_format)
{
    if (!name)
        return 0;
    if (strcmp(name, "v1") != 0 && strcmp(name, "v2") != 0)
        return misused("a format is v1 or v2");
    *ret_format = name[1] == '1' ? CRDT_V1 : CRDT_V2;
    return 0;
}

static int check(struct request *q, const struct form_entry *form, const struct arguments *a)
{
    int r = parse_format(q->from, &q->read);

    if (r == 0)
        r = parse_format(q->to, &q->write);
    if (r < 0)
        return r;
    if (a->name_count == 0)
        return misused("no file is given; - is stdin");
    if (q->as && !q->root)
        return misused("--as goes with --root");
    if (q->as && doc_kind_parse(q->as, &q->kind) < 0)
        return misused("a root is read as map, array, text, delta or xml");
    if (form->form == DIFF && !q->since == !q->state_vector)
        return misused("diff takes either --sv or --since");
    if (form->gives_bytes && !q->output && isatty(STDOUT_FILENO))
        return misused("the result is binary: -o FILE, or -o - for the terminal");
    return 0;
}

/* Everything that can fail comes before the first byte is written. */
static int run_form(const struct request *q, const struct form_entry *form,
                    const struct arguments *a)
{
    struct doc_input input = {0};
    struct crdt_buf out = {0};
    int r = 0;

    for (int i = 0; i < a->name_count && r == 0; i++)
        r = doc_input_read_update(&input, a->names[i], q->read);
    if (r == 0)
        r = form->run(q, &input, &out);
    if (r == 0 && out.error)
        r = complain("the result", out.error);
    if (r == 0) {
        r = output_write(q->output, slice_of(out.data, out.len));
        if (r < 0)
            (void)complain(q->output ? q->output : "stdout", r);
    }
    crdt_buf_done(&out);
    doc_input_done(&input);
    return r < 0 ? 1 : 0;
}

static const struct form_entry *find_form(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    }
    return NULL;
}

int doc_run(int argc, char **argv)
{
    struct arguments a = {0};
    struct request q = {0};
    int status = 2;

    if (argc > 0 && strcmp(argv[0], "--help") == 0) {
        doc_print_help(stdout);
        return 0;
    }
    const struct form_entry *form = argc > 0 ? find_form(argv[0]) : NULL;
    if (!form) {
        (void)misused("doc takes json, text, stat, merge, diff, convert or sv");
        return status;
    }
    int r = arguments_parse(&a, &table, form->form, &q, argc - 1, argv + 1);
    if (r == 0 && a.wants_help) {
        doc_print_help(stdout);
        status = 0;
    } else if (r == 0 && check(&q, form, &a) == 0) {
        status = run_form(&q, form, &a);
    }
    arguments_done(&a);
    return status;
}

/* clang-format off */
static const char help_before[] =
    "usage: concordctl doc COMMAND FILE… [options]\n"
    "\n"
    "Works on documents in files of Yjs updates, without any server. A FILE holds one update,\n"
    "of format v1 or v2; - is stdin. Several files are parts of one document, in any order.\n"
    "\n"
    "Commands:\n";

static const char help_behind[] =
    "\n"
    "A root has no type in an update: json reads each as what it looks like. --as says otherwise:\n"
    "map and array are JSON, delta is a text with its formats, text and xml are strings. text\n"
    "without --root takes the only root that is a text. What waits for updates that are not\n"
    "in the files is kept by merge, diff and convert; json and text leave it out and say so.\n"
    "\n"
    "Files are checked as a whole before anything is written, all together may have 256 MiB,\n"
    "and a result is written completely or not at all: the file of -o has its old content\n"
    "until then.\n"
    "\n"
    "Exit status: 0; 1 if a file cannot be read, is no update or is over a limit, or the\n"
    "result cannot be written; 2 if the command line is wrong.\n"
    "\n"
    "Examples:\n"
    "  concordctl doc text room.v1\n"
    "  concordctl doc json room.v1 --root tasks --as array\n"
    "  concordctl doc merge monday.v1 tuesday.v1 -o both.v1\n"
    "  concordctl doc diff new.v1 --since old.v1 | concordctl doc stat -\n"
    "  concordctl doc convert room.v1 -o room.v2\n";
/* clang-format on */

void doc_print_help(FILE *out)
{
    (void)fputs(help_before, out);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        (void)fprintf(out, "  %-22s %s\n", forms[i].name, forms[i].help);
    (void)fputs("\nOptions:\n", out);
    arguments_print_options(&table, out);
    (void)fputs(help_behind, out);
}
