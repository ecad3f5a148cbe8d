/*
 * render: parameters on standard output.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "weir/cli.h"

/* flags: enum conf_render_flag.  ERR_NOTFOUND, with et: an unknown name. */
MUST_CHECK enum err render_conf(struct cli *cli, const struct conf *conf,
    char *const names[], size_t name_count, unsigned flags, struct errtext *et);

struct plan;

/* The plan of memory of a configuration; EX_CONFIG, after a message, if it
 * does not fit. */
MUST_CHECK int render_plan(const struct conf *conf, struct plan *out);
