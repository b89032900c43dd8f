#ifndef HOST_ARDUINO_ESP_TIMER_H
#define HOST_ARDUINO_ESP_TIMER_H

#include <stdint.h>

// Microseconds since the start.
int64_t esp_timer_get_time();

#endif
