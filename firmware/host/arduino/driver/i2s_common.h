// The I2S driver of ESP-IDF 5: names, structures and behaviour are the real ones, down to the order in which its DMA
// buffers are filled and sent, because that is what is heard. Fields that change nothing here are left out.
#ifndef HOST_ARDUINO_DRIVER_I2S_COMMON_H
#define HOST_ARDUINO_DRIVER_I2S_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"

typedef enum { I2S_NUM_0 = 0, I2S_NUM_1 = 1, I2S_NUM_AUTO = 2 } i2s_port_t;
typedef enum { I2S_ROLE_MASTER, I2S_ROLE_SLAVE } i2s_role_t;
typedef enum {
  I2S_DATA_BIT_WIDTH_8BIT = 8,
  I2S_DATA_BIT_WIDTH_16BIT = 16,
  I2S_DATA_BIT_WIDTH_24BIT = 24,
  I2S_DATA_BIT_WIDTH_32BIT = 32
} i2s_data_bit_width_t;
typedef enum { I2S_SLOT_MODE_MONO = 1, I2S_SLOT_MODE_STEREO = 2 } i2s_slot_mode_t;
typedef enum { GPIO_NUM_NC = -1, GPIO_NUM_0 = 0, GPIO_NUM_MAX = 49 } gpio_num_t;

#define I2S_GPIO_UNUSED GPIO_NUM_NC

typedef struct i2s_channel_obj_t* i2s_chan_handle_t;

typedef struct {
  i2s_port_t id;
  i2s_role_t role;
  uint32_t dma_desc_num;   // buffers
  uint32_t dma_frame_num;  // samples of each buffer, in all slots
  bool auto_clear;         // a buffer that was sent becomes silence; else it is sent again and again
} i2s_chan_config_t;

#define I2S_CHANNEL_DEFAULT_CONFIG(i2s_num, i2s_role) \
  { .id = i2s_num, .role = i2s_role, .dma_desc_num = 6, .dma_frame_num = 240, .auto_clear = false, }

esp_err_t i2s_new_channel(const i2s_chan_config_t* config, i2s_chan_handle_t* sending, i2s_chan_handle_t* receiving);
esp_err_t i2s_channel_enable(i2s_chan_handle_t channel);
esp_err_t i2s_channel_disable(i2s_chan_handle_t channel);
esp_err_t i2s_channel_preload_data(i2s_chan_handle_t channel, const void* source, size_t size, size_t* loaded);
esp_err_t i2s_channel_write(i2s_chan_handle_t channel, const void* source, size_t size, size_t* written,
                            uint32_t timeout_ms);
esp_err_t i2s_channel_read(i2s_chan_handle_t channel, void* destination, size_t size, size_t* read,
                           uint32_t timeout_ms);

#endif
