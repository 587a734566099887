/*
 * Runs a fuzz target over the files of the directories and the files that it is given, without
 * libFuzzer. A finding ends the process; the last line on stderr is then the input's name.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

#define FILE_BYTES_MAX (16u << 20)

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0;
    struct stat info;
    if (!file || fstat(fileno(file), &info) < 0 || info.st_size > FILE_BYTES_MAX) {
        fprintf(stderr, "%s: cannot be read\n", path);
        if (file)
            fclose(file);
        return -1;
    }
    size = (size_t)info.st_size;
    data = malloc(size ? size : 1); /* exactly, so that reading beyond it is found */
    CHECK(data);
    CHECK(fread(data, 1, size, file) == size);
    fclose(file);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

/* How many files it ran, or -1. */
static int run_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort), ran = 0;
    for (int i = 0; i < count; i++) {
        char name[4096];
        int len = snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && len < (int)sizeof(name) && ran >= 0)
            ran = run_file(name) < 0 ? -1 : ran + 1;
        free(entries[i]);
    }
    if (count < 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return -1;
    }
    free(entries);
    return ran;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        bool is_directory = stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode);
        int ran = is_directory ? run_directory(argv[i]) : run_file(argv[i]) + 1;
        if (ran <= 0)
            return 1;
        total += ran;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
