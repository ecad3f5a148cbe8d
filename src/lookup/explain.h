/*
 * lookup/explain: how an address would be routed, step by step, for people.
 */
#pragma once

/*
 * explain_main(argc, argv):
 * weir-lookup --explain [--json] [-c FILE] [-o NAME=VALUE]... ADDRESS
 *
 * One line for each step, "PLACE: TEXT", and one for the result; or one JSON
 * object.  Exit status: 0 when there is an answer, also a refusal; 75 when a
 * lookup fails now, 64 wrong usage, 78 wrong configuration.
 */
int explain_main(int argc, char **argv);
