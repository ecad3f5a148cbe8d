/*
 * weir-lookup: the role, or an explanation for people.
 */
#include <string.h>

#include "lookup/explain.h"
#include "lookup/role.h"

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--explain") == 0)
		return explain_main(argc, argv);
	return role_main(argc, argv, &lookup_role_ops);
}
