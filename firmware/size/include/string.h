// All that the core may use of a C library, declared: the compiler then needs none for the target. The picolibc that
// Debian has for it is 1 GB.
#ifndef VOICE_SIZE_STRING_H
#define VOICE_SIZE_STRING_H

#include <stddef.h>

extern "C" {
void* memcpy(void* to, const void* from, size_t size);
void* memmove(void* to, const void* from, size_t size);
void* memset(void* to, int byte, size_t size);
int memcmp(const void* a, const void* b, size_t size);
size_t strlen(const char* text);
int strcmp(const char* a, const char* b);
int strncmp(const char* a, const char* b, size_t size);
}

#endif
