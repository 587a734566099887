#include "common/secret.h"

#include <sys/prctl.h>

void secret_hide_process(void)
{
#ifndef __SANITIZE_ADDRESS__ /* it looks for leaks from a process of its own */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}
