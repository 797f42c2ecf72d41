/* The manual page, man(7), out of the same tables as --help: `sluice help --man`, which the installation writes to sluice.1. */
#include "cli/cli.h"

#include <stdio.h>

/* Text as it is: backslashes, hyphens of options, and dots or quotes at the head of a line mean something in a page. */
static void put(const char *text)
{
    for (bool head = true; *text; head = *text == '\n', text++) {
        if (head && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
}

static void put_command(const struct command *c)
{
    printf(".SS sluice %s ", c->name);
    put(c->args);
    fputs("\n", stdout);
    put(c->summary);
    fputs(".\n", stdout);
    for (uint32_t i = 0; i < c->n_options; i++) {
        const struct cli_option *o = &c->options[i];
        fputs(".TP\n.B ", stdout);
        if (o->letter)
            printf("\\-%c, ", o->letter);
        fputs("\\-\\-", stdout);
        put(o->name);
        if (o->arg) {
            fputs(" \\fI", stdout);
            put(o->arg);
            fputs("\\fR", stdout);
        }
        fputs("\n", stdout);
        put(o->help);
        fputs("\n", stdout);
    }
    if (!c->details)
        return;
    fputs(".PP\n.nf\n", stdout);
    put(c->details);
    fputs(".fi\n", stdout);
}

void cli_man(const struct command *const *commands, size_t n)
{
    printf(".TH SLUICE 1 \"\" \"sluice %s\" \"User Commands\"\n"
           ".SH NAME\nsluice \\- PostgreSQL changes as Delta Lake tables\n"
           ".SH SYNOPSIS\n.B sluice\n.I COMMAND\n\\&...\n.SH COMMANDS\n",
           SLUICE_VERSION);
    for (size_t i = 0; i < n; i++)
        put_command(commands[i]);
    puts(".SH EXIT STATUS\n" CLI_EXIT_CODES ".");
}
