#include "doc.h"

#include <errno.h>
#include <string.h>

static uint32_t hash_bytes(const struct crdt_doc *doc, struct crdt_slice text)
{
    uint64_t hash = doc->seed ^ text.len;
    uint64_t word;
    size_t i = 0;

    for (; i + sizeof(word) <= text.len; i += sizeof(word)) {
        memcpy(&word, text.data + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    word = 0;
    if (i < text.len)
        memcpy(&word, text.data + i, text.len - i);
    return hash_mix(hash ^ word);
}

static uint32_t hash_entry(const struct crdt_doc *doc, uint32_t type, uint32_t key)
{
    return hash_mix(doc->seed ^ ((uint64_t)type << 32 | key));
}

/* ---- names ---- */

int names_reserve(struct crdt_doc *doc, uint64_t count, uint64_t bytes)
{
    int r =
        array_reserve(&doc->names, &doc->name_cap, doc->name_count + count, sizeof(*doc->names));

    if (r == 0)
        r = array_reserve(&doc->name_bytes, &doc->name_bytes_cap, doc->name_bytes_len + bytes, 1);
    if (r == 0)
        r = table_reserve(&doc->name_table, count);
    return r;
}

static uint32_t find_name(const struct crdt_doc *doc, struct crdt_slice text, uint32_t hash)
{
    uint32_t pos = hash, name;

    while ((name = table_probe(&doc->name_table, hash, &pos)) != NIL) {
        struct crdt_slice known = name_slice(doc, name);

        if (known.len == text.len && (text.len == 0 || !memcmp(known.data, text.data, text.len)))
            break;
    }
    return name;
}

uint32_t name_find(const struct crdt_doc *doc, struct crdt_slice text)
{
    return find_name(doc, text, hash_bytes(doc, text));
}

uint32_t name_intern(struct crdt_doc *doc, struct crdt_slice text)
{
    uint32_t hash = hash_bytes(doc, text);
    uint32_t name = find_name(doc, text, hash);

    if (name != NIL)
        return name;
    assert(doc->name_count < doc->name_cap);
    assert(text.len <= doc->name_bytes_cap - doc->name_bytes_len);
    name = doc->name_count++;
    doc->names[name] = (struct name){doc->name_bytes_len, (uint32_t)text.len};
    if (text.len)
        memcpy(doc->name_bytes + doc->name_bytes_len, text.data, text.len);
    doc->name_bytes_len += (uint32_t)text.len;
    table_insert(&doc->name_table, hash, name);
    return name;
}

/* ---- entries ---- */

int entries_reserve(struct crdt_doc *doc, uint64_t count)
{
    int r;

    if (doc->entry_count + count >= NO_PLACE)
        return -E2BIG;
    r = array_reserve(&doc->entries, &doc->entry_cap, doc->entry_count + count,
                      sizeof(*doc->entries));

    return r ? r : table_reserve(&doc->entry_table, count);
}

uint32_t entry_find(const struct crdt_doc *doc, uint32_t type, uint32_t key)
{
    uint32_t hash = hash_entry(doc, type, key), pos = hash, entry;

    while ((entry = table_probe(&doc->entry_table, hash, &pos)) != NIL)
        if (doc->entries[entry].type == type && doc->entries[entry].key == key)
            break;
    return entry;
}

uint32_t entry_add(struct crdt_doc *doc, uint32_t type, uint32_t key)
{
    uint32_t entry = doc->entry_count++;

    assert(entry < doc->entry_cap);
    doc->entries[entry] = (struct entry){type, key, NIL, NIL, NIL};
    table_insert(&doc->entry_table, hash_entry(doc, type, key), entry);
    if (type != NIL) {
        struct type *t = &doc->types[type];

        if (t->first_entry == NIL)
            t->first_entry = entry;
        else
            doc->entries[t->last_entry].next = entry;
        t->last_entry = entry;
    }
    return entry;
}

/* ---- taking back ---- */

void names_truncate(struct crdt_doc *doc, uint32_t count)
{
    while (doc->name_count > count) {
        uint32_t name = --doc->name_count;

        table_remove(&doc->name_table, hash_bytes(doc, name_slice(doc, name)), name);
        doc->name_bytes_len = doc->names[name].offset;
    }
}

/* Takes the entries from `count` on out of the keys of a type, which end with them. */
static void truncate_keys(struct crdt_doc *doc, struct type *type, uint32_t count)
{
    uint32_t kept = NIL;

    if (type->last_entry == NIL || type->last_entry < count)
        return;
    for (uint32_t e = type->first_entry; e < count; e = doc->entries[e].next)
        kept = e;
    type->last_entry = kept;
    if (kept == NIL)
        type->first_entry = NIL;
    else
        doc->entries[kept].next = NIL;
}

void entries_truncate(struct crdt_doc *doc, uint32_t count)
{
    for (uint32_t e = count; e < doc->entry_count; e++) {
        const struct entry *entry = &doc->entries[e];

        table_remove(&doc->entry_table, hash_entry(doc, entry->type, entry->key), e);
        if (entry->type != NIL)
            truncate_keys(doc, &doc->types[entry->type], count);
    }
    doc->entry_count = count;
}

/* ---- types ---- */

int types_reserve(struct crdt_doc *doc, uint64_t count)
{
    if (doc->type_count + count >= NO_PLACE)
        return -E2BIG;
    return array_reserve(&doc->types, &doc->type_cap, doc->type_count + count, sizeof(*doc->types));
}

uint32_t type_add(struct crdt_doc *doc, uint32_t item, uint8_t type_ref, uint32_t name)
{
    uint32_t type = doc->type_count++;

    assert(type < doc->type_cap);
    doc->types[type] = (struct type){
        .item = item,
        .start = NIL,
        .first_entry = NIL,
        .last_entry = NIL,
        .name = name,
        .next_dead = NIL,
        .type_ref = type_ref,
    };
    return type;
}

uint32_t root_find(const struct crdt_doc *doc, struct crdt_slice name)
{
    uint32_t key = name_find(doc, name);
    uint32_t entry = key == NIL ? NIL : entry_find(doc, NIL, key);

    return entry == NIL ? NIL : doc->entries[entry].head;
}

uint32_t root_get(struct crdt_doc *doc, struct crdt_slice name)
{
    uint32_t key = name_intern(doc, name);
    uint32_t entry = entry_find(doc, NIL, key);

    if (entry == NIL) {
        uint32_t type = type_add(doc, NIL, 0, key);

        entry = entry_add(doc, NIL, key);
        doc->entries[entry].head = doc->entries[entry].tail = type;
    }
    return doc->entries[entry].head;
}
