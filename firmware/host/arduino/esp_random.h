#ifndef HOST_ARDUINO_ESP_RANDOM_H
#define HOST_ARDUINO_ESP_RANDOM_H

#include <stddef.h>
#include <stdint.h>

uint32_t esp_random();
void esp_fill_random(void* bytes, size_t size);

#endif
