/* The command line: finds the command, runs it, turns its error into a message and an exit code. */
#include "base/err.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("sluice " SLUICE_VERSION);
    return 0;
}
