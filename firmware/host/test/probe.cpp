// A program for the virtual board that does what it is told over serial, one call a line, and prints what the call
// returned: with it the stand-ins are tested, and the real PubSubClient in the same way.
#include <Arduino.h>
#include <Preferences.h>
#include <PubSubClient.h>
#include <WiFi.h>
#include <driver/i2s_std.h>
#include <lwip/sockets.h>

#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr uint32_t sound_rate = 16000;

WiFiClient network;
PubSubClient mqtt(network);
Preferences preferences;
i2s_chan_handle_t speaker = nullptr;
i2s_chan_handle_t microphone = nullptr;
std::string host;  // PubSubClient keeps the pointer

void on_message(char* topic, uint8_t* payload, unsigned int size) {
  Serial.printf("got %s %u %.20s\n", topic, size, std::string(payload, payload + size).c_str());
}

i2s_std_config_t sound_config() {
  i2s_std_config_t config = {
      .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(sound_rate),
      .slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_MONO),
      .gpio_cfg = {},
  };
  return config;
}

void begin_sound() {
  i2s_chan_config_t config = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_0, I2S_ROLE_MASTER);
  config.auto_clear = true;
  i2s_new_channel(&config, &speaker, &microphone);
  const i2s_std_config_t sound = sound_config();
  for (const i2s_chan_handle_t channel : {speaker, microphone}) {
    i2s_channel_init_std_mode(channel, &sound);
    i2s_channel_enable(channel);
  }
}

// Writes `ms` of a constant level and returns how many samples were taken within `timeout_ms`.
size_t play(uint32_t ms, int32_t level, uint32_t timeout_ms) {
  const std::vector<int32_t> samples(ms * sound_rate / 1000, level * 65536);
  size_t written = 0;
  i2s_channel_write(speaker, samples.data(), samples.size() * 4, &written, timeout_ms);
  return written / 4;
}

// Reads for `ms` as the samples come; returns how many there were and how many of them were not silent.
std::string record(uint32_t ms) {
  size_t count = 0;
  size_t loud = 0;
  const uint32_t since = millis();
  while (millis() - since < ms) {
    int32_t samples[64];
    size_t read = 0;
    i2s_channel_read(microphone, samples, sizeof samples, &read, 20);
    count += read / 4;
    for (size_t i = 0; i < read / 4; ++i) loud += samples[i] != 0 ? 1 : 0;
  }
  return std::to_string(count) + " " + std::to_string(loud);
}

bool writable() {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(network.fd(), &set);
  timeval at_once = {};
  return select(network.fd() + 1, nullptr, &set, nullptr, &at_once) > 0;
}

// The answer to a line: what the call returned.
std::string run(const std::string& line) {
  std::istringstream words(line);
  std::string name, a, b;
  long number = 0;
  words >> name;
  const auto text = [](long value) { return std::to_string(value); };
  if (name == "server") {
    words >> host >> number;
    mqtt.setServer(host.c_str(), static_cast<uint16_t>(number));
    return "";
  }
  if (name == "connect") {
    words >> a;
    return text(mqtt.connect(a.c_str()));
  }
  if (name == "connect-will") {
    words >> a >> b;
    return text(mqtt.connect(a.c_str(), b.c_str(), 1, true, "offline"));
  }
  if (name == "connect-login") {
    words >> a >> b;
    return text(mqtt.connect("probe", a.c_str(), b.c_str()));
  }
  if (name == "disconnect") {
    mqtt.disconnect();
    return "";
  }
  if (name == "state") return text(mqtt.state());
  if (name == "connected") return text(mqtt.connected());
  if (name == "buffer") {
    words >> number;
    const bool set = mqtt.setBufferSize(static_cast<uint16_t>(number));
    return text(set) + " " + text(mqtt.getBufferSize());
  }
  if (name == "keepalive") {
    words >> number;
    mqtt.setKeepAlive(static_cast<uint16_t>(number));
    return "";
  }
  if (name == "subscribe" || name == "unsubscribe") {
    words >> a >> number;
    const bool done =
        name == "subscribe" ? mqtt.subscribe(a.c_str(), static_cast<uint8_t>(number)) : mqtt.unsubscribe(a.c_str());
    return text(done);
  }
  if (name == "publish") {  // topic, size
    words >> a >> number;
    const std::string payload(static_cast<size_t>(number), 'x');
    return text(mqtt.publish(a.c_str(), reinterpret_cast<const uint8_t*>(payload.data()),
                             static_cast<unsigned int>(payload.size()), false));
  }
  if (name == "publish-retained") {
    words >> a >> b;
    return text(mqtt.publish(a.c_str(), b.c_str(), true));
  }
  if (name == "publish-parts") {  // topic, parts of ten bytes
    words >> a >> number;
    bool sent = mqtt.beginPublish(a.c_str(), static_cast<unsigned int>(10 * number), false);
    for (long i = 0; i < number; ++i) sent = mqtt.write(reinterpret_cast<const uint8_t*>("0123456789"), 10) == 10;
    return text(sent && mqtt.endPublish() == 1);
  }
  if (name == "loop") return text(mqtt.loop());
  if (name == "serve") {  // milliseconds
    words >> number;
    const uint32_t since = millis();
    bool alive = true;
    while (alive && millis() - since < static_cast<uint32_t>(number)) {
      alive = mqtt.loop();
      delay(1);
    }
    return text(alive);
  }
  if (name == "await") {  // until something can be read
    while (network.available() == 0) delay(1);
    return "";
  }
  if (name == "writable") return text(writable());
  if (name == "wifi") return text(WiFi.status());
  if (name == "play") {  // milliseconds, level, limit
    uint32_t ms = 0, limit = 0;
    words >> ms >> number >> limit;
    return text(static_cast<long>(play(ms, static_cast<int32_t>(number), limit)));
  }
  if (name == "record") {
    uint32_t ms = 0;
    words >> ms;
    return record(ms);
  }
  if (name == "wait") {
    uint32_t ms = 0;
    words >> ms;
    delay(ms);
    return "";
  }
  if (name == "millis") return text(millis());
  if (name == "put") {
    words >> a >> b;
    return text(static_cast<long>(preferences.putString(a.c_str(), b.c_str())));
  }
  if (name == "get") {
    words >> a;
    return preferences.getString(a.c_str(), "(none)").c_str();
  }
  if (name == "restart") ESP.restart();
  return "unknown";
}

}  // namespace

void setup() {
  WiFi.begin("anywhere");
  mqtt.setCallback(on_message);
  mqtt.setSocketTimeout(3);
  preferences.begin("probe");
  begin_sound();
}

void loop() {
  static std::string line;
  while (Serial.available() > 0) {
    const char character = static_cast<char>(Serial.read());
    if (character != '\n') {
      line += character;
      continue;
    }
    const std::string answer = run(line);
    Serial.printf("= %s\n", answer.c_str());
    line.clear();
  }
}
