/* Prints the table of messages as Markdown: the documentation that cannot be out of date. */
#include "proto/messages.h"

#include <stdio.h>

#define F(type, name, max) "`" #name "` " #type ", "
#define M(code, name, NAME, who, what)                                                             \
    {                                                                                              \
        code, #name, who, what, "" PROTO_##NAME##_FIELDS(F)                                        \
    }

static const struct {
    int code;
    const char *name;
    const char *who;
    const char *what;
    const char *fields;
} rows[] = {
#define ROW(...) M(__VA_ARGS__),
    PROTO_MESSAGES(ROW)
#undef ROW
};

int main(void)
{
    printf("| code | message | from, to | fields | meaning |\n|-|-|-|-|-|\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        printf("| %d | %s | %s | %s| %s |\n", rows[i].code, rows[i].name, rows[i].who,
               rows[i].fields, rows[i].what);
    return 0;
}
