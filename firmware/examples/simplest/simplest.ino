// The simplest thing that works: hold the button, speak, let go. Raw sound goes out; the answer comes as pieces of one
// MP3, here only counted. ESP32 DevKit with an INMP441: SCK 26, WS 25, SD 33. The button is the board's own, BOOT.
#include <PubSubClient.h>
#include <WiFi.h>
#include <driver/i2s_std.h>

#include "secrets.h"  // see include/secrets.example.h

const int button = 0;
WiFiClient tcp;
PubSubClient mqtt(tcp);
i2s_chan_handle_t microphone;
unsigned answer_bytes = 0;

void heard(char*, uint8_t* /*mp3: play it here*/, unsigned size) {
  answer_bytes += size;
  if (size > 0) return;  // an empty message ends the answer
  Serial.printf("answer: %u bytes of MP3\n", answer_bytes);
  answer_bytes = 0;
}

void setup() {
  Serial.begin(115200);
  pinMode(button, INPUT_PULLUP);
  i2s_chan_config_t channel = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_0, I2S_ROLE_MASTER);
  i2s_new_channel(&channel, nullptr, &microphone);
  i2s_std_config_t config = {};
  config.clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(16000);
  config.slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_STEREO);
  config.gpio_cfg.mclk = config.gpio_cfg.dout = I2S_GPIO_UNUSED;
  config.gpio_cfg.bclk = gpio_num_t(26);
  config.gpio_cfg.ws = gpio_num_t(25);
  config.gpio_cfg.din = gpio_num_t(33);
  i2s_channel_init_std_mode(microphone, &config);
  i2s_channel_enable(microphone);
  WiFi.begin(VOICE_WIFI_SSID, VOICE_WIFI_PASSWORD);
  mqtt.setServer(VOICE_MQTT_HOST, VOICE_MQTT_PORT).setCallback(heard).setKeepAlive(60);
  mqtt.setBufferSize(1200);  // both ways: the answer's pieces are no larger than what is sent
}

void loop() {
  static bool speaking = false;
  if (!mqtt.loop()) {
    const char* user = *VOICE_MQTT_USER ? VOICE_MQTT_USER : nullptr;
    if (!mqtt.connect("simplest", user, VOICE_MQTT_PASSWORD) || !mqtt.subscribe("voice/simplest/out")) delay(1000);
    return;
  }
  if (speaking != (digitalRead(button) == LOW)) delay(30);  // the button bounces
  const bool spoken = speaking;
  speaking = digitalRead(button) == LOW;
  static int32_t both[512][2];  // left and right; the microphone is the left one
  static int16_t pcm[512];
  size_t bytes = 0;
  if (speaking) i2s_channel_read(microphone, both, sizeof(both), &bytes, 100);
  for (size_t i = 0; i < bytes / 8; ++i) pcm[i] = int16_t(std::clamp<int32_t>(both[i][0] >> 12, -32768, 32767));
  // An empty message ends the question.
  if (speaking || spoken) mqtt.publish("voice/simplest/in", reinterpret_cast<uint8_t*>(pcm), unsigned(bytes / 4));
}
