/*
 * environ: addresses of the environment.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/envelope.h"
#include "proto/xtext.h"
#include "usercmd/int.h"

/* One line of text, of which plain is what was left of it; not what a script
 * has put into its place since. */
static bool
stands_for(struct slice address, struct slice plain)
{
	size_t i;

	for (i = 0; i < address.len; i++)
		if ((unsigned char)address.data[i] < ' ' ||
		    address.data[i] == 127 || i >= plain.len ||
		    (address.data[i] != plain.data[i] && plain.data[i] != '_'))
			return false;
	return address.len == plain.len;
}

/* Terminated; false: there is none. */
static bool
exact(const char *variable, char out[static ADDRESS_BYTES_MAX + 1])
{
	char name[64];
	const char *value, *plain = getenv(variable);
	size_t len;

	snprintf(name, sizeof(name), "WEIR_XTEXT_%s", variable);
	value = getenv(name);
	if (value == NULL ||
	    !xtext_decode(slice_str(value), out, ADDRESS_BYTES_MAX, &len) ||
	    !stands_for(slice_of(out, len), slice_str(plain)))
		return false;
	out[len] = '\0';
	return true;
}

const char *
environ_sender(const struct usercmd *u, const char *variable)
{
	static char sender[ADDRESS_BYTES_MAX + 1];

	return exact(variable, sender) ? sender : say_getenv(u, variable);
}

const char *
environ_dtline(const struct usercmd *u)
{
	static char line[ADDRESS_BYTES_MAX + 32];
	char recipient[ADDRESS_BYTES_MAX + 1];

	if (!exact("RECIPIENT", recipient))
		return say_getenv(u, "DTLINE");
	snprintf(line, sizeof(line), "Delivered-To: %s\n", recipient);
	return line;
}
