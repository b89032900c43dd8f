// The simplest thing that works: hold the button, speak, let go. Raw sound goes out; the answer comes as pieces of one
// MP3, here only counted. ESP32 DevKit with an INMP441: SCK 26, WS 25, SD 33. The button is the board's own, BOOT.
#include <PubSubClient.h>
#include <WiFi.h>
#include <driver/i2s_std.h>

#include "secrets.h"  // see include/secrets.example.h

const char* in_topic = "voice/simplest/in";
const char* out_topic = "voice/simplest/out";
const int button = 0;
WiFiClient tcp;
PubSubClient mqtt(tcp);
i2s_chan_handle_t microphone;
size_t answer_bytes = 0;

void heard(char* topic, uint8_t* mp3, unsigned int size) {
  answer_bytes += size;  // here it could be played
  if (size > 0) return;  // an empty message ends the answer
  Serial.printf("answer: %u bytes of MP3\n", static_cast<unsigned>(answer_bytes));
  answer_bytes = 0;
}

void setup() {
  Serial.begin(115200);
  pinMode(button, INPUT_PULLUP);
  i2s_chan_config_t channel = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_0, I2S_ROLE_MASTER);
  i2s_std_config_t config = {};
  config.clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(16000);
  config.slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_STEREO);
  config.gpio_cfg = {I2S_GPIO_UNUSED, GPIO_NUM_26, GPIO_NUM_25, I2S_GPIO_UNUSED, GPIO_NUM_33};
  i2s_new_channel(&channel, nullptr, &microphone);
  i2s_channel_init_std_mode(microphone, &config);
  i2s_channel_enable(microphone);
  WiFi.begin(VOICE_WIFI_SSID, VOICE_WIFI_PASSWORD);
  WiFi.setSleep(false);
  mqtt.setServer(VOICE_MQTT_HOST, VOICE_MQTT_PORT).setCallback(heard).setKeepAlive(60);
  mqtt.setBufferSize(1200);  // both ways: the answer's pieces are no larger than what is sent
}

void loop() {
  static bool speaking = false;
  static int32_t both[512][2];
  static int16_t pcm[512];
  if (!mqtt.loop()) {
    const char* user = *VOICE_MQTT_USER ? VOICE_MQTT_USER : nullptr;
    if (!mqtt.connect("simplest", user, VOICE_MQTT_PASSWORD) || !mqtt.subscribe(out_topic)) delay(1000);
  } else if (digitalRead(button) == LOW) {
    speaking = true;
    size_t bytes = 0;
    i2s_channel_read(microphone, both, sizeof(both), &bytes, 100);
    for (size_t i = 0; i < bytes / 8; ++i) pcm[i] = constrain(both[i][0] >> 12, -32768, 32767);
    mqtt.publish(in_topic, reinterpret_cast<uint8_t*>(pcm), bytes / 4);
  } else if (speaking) {
    speaking = false;
    mqtt.publish(in_topic, "");  // an empty message ends the question
  }
}
