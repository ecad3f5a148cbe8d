/*
 * dns_answer: any message is read within bounds; names kept are host names.
 */
#include <string.h>

#include "base/assert.h"
#include "dns/answer.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_TYPE_A, DNS_TYPE_AAAA,
		DNS_TYPE_MX, DNS_TYPE_PTR };
	static struct dns_answer a;

	for (unsigned t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		if (!dns_answer_parse(slice_of(data, size), "y.test", types[t],
			&a))
			continue;
		ASSERT(a.count <= DNS_RECORDS_MAX);
		for (unsigned i = 0; i < a.count; i++) {
			const char *name = a.records[i].name;

			ASSERT(strnlen(name, DNS_NAME_BYTES) < DNS_NAME_BYTES);
			ASSERT(strpbrk(name, "\r\n \t<>") == NULL);
			ASSERT(types[t] != DNS_TYPE_MX || i == 0 ||
			       a.records[i].preference >=
				   a.records[i - 1].preference);
		}
	}
	return 0;
}
