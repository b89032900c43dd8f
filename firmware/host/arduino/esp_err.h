#ifndef HOST_ARDUINO_ESP_ERR_H
#define HOST_ARDUINO_ESP_ERR_H

typedef int esp_err_t;

#define ESP_OK 0
#define ESP_FAIL (-1)
#define ESP_ERR_INVALID_ARG 0x102
#define ESP_ERR_INVALID_STATE 0x103
#define ESP_ERR_NOT_FOUND 0x105
#define ESP_ERR_TIMEOUT 0x107

const char* esp_err_to_name(esp_err_t error);

#endif
