/* concordctl: the operator's tool. */
#include "ctl/command.h"

int main(int argc, char **argv)
{
    return command_run(argc - 1, argv + 1);
}
