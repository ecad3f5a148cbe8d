/*
 * poison: memory that is ours but not in use, told to AddressSanitizer, so
 * that it finds uses of freed objects inside pools and arenas too.
 */
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define POISON_WITH_ASAN 1
#endif

#if defined(POISON_WITH_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(p, bytes)   ASAN_POISON_MEMORY_REGION(p, bytes)
#define UNPOISON(p, bytes) ASAN_UNPOISON_MEMORY_REGION(p, bytes)
#else
#define POISON(p, bytes)   ((void)(p), (void)(bytes))
#define UNPOISON(p, bytes) ((void)(p), (void)(bytes))
#endif
