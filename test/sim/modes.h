/*
 * modes: the ways to run the store; see sim_store.c.
 */
#pragma once

#include <stdint.h>

void mode_random(uint64_t seed);
void mode_crash(uint64_t seed);
void mode_fault(uint64_t seed);
void mode_memory(uint64_t seed);
void mode_full(uint64_t seed);
void mode_share(uint64_t seed);
void mode_rot(uint64_t seed);
