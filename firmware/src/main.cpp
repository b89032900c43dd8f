// The device: its parts, put together, and one loop.
//
// There is no second task. What must not wait is in DMA: 160 ms of recording and of sound. Everything in the loop is
// quick, but for the network; src/mqtt_link.cpp says what can block there and for how long.
#include <Arduino.h>
#include <esp_random.h>

#include "board.h"
#include "button.h"
#include "i2s_microphone.h"
#include "i2s_speaker.h"
#include "identity.h"
#include "micro_mp3_decoder.h"
#include "mqtt_link.h"
#include "serial_console.h"
#include "settings.h"
#include "status_led.h"
#include "voice_core/node.h"
#include "wifi_station.h"

#ifndef VOICE_FIRMWARE_VERSION
#define VOICE_FIRMWARE_VERSION "0.1.0"
#endif

namespace {

// Serial input that waits while the loop is busy: a whole set of pasted settings, while the loop tries to reach the
// broker whose address they correct. The core's own 256 bytes would lose the last lines, `save` among them.
constexpr size_t serial_input_bytes = 1024;

shell::Settings settings;
shell::Identity identity;
shell::I2sMicrophone microphone;
shell::I2sSpeaker speaker;
shell::MicroMp3Decoder decoder;
shell::MqttLink mqtt;
shell::WifiStation wifi;
shell::Button button;
shell::StatusLed led;
voice::Node node(microphone, speaker, decoder, mqtt);
shell::SerialConsole console(node);

voice::NodeOptions node_options() {
  voice::NodeOptions options;
  options.root = settings.get(shell::Key::Root);
  options.device_id = identity.id();
  options.name = settings.get(shell::Key::Name);
  options.firmware = VOICE_FIRMWARE_VERSION;
  options.board = shell::board.name;
  options.language = settings.get(shell::Key::Language);
  options.hands_free = settings.hands_free();
  options.first_turn = static_cast<uint16_t>(1 + esp_random() % voice::last_device_turn);
  return options;
}

}  // namespace

void setup() {
  Serial.setRxBufferSize(serial_input_bytes);  // before begin()
  Serial.begin(115200);
  settings.load();
  console.begin();
  identity.begin(settings.get(shell::Key::Id));
  Serial.printf("voice device %s, firmware %s, board %s. Type help.\n", identity.id(), VOICE_FIRMWARE_VERSION,
                shell::board.name);
  button.begin();
  led.begin();
  speaker.begin();
  microphone.begin();
  const uint32_t now = millis();
  if (!node.begin(node_options(), now))
    Serial.println("a setting is not valid: see show, and help for what is allowed");
  mqtt.begin(settings, identity.id(), node);
  wifi.begin(settings, identity.id(), now);
}

void loop() {
  console.poll();
  const uint32_t now = millis();
  wifi.poll(now);
  mqtt.poll(wifi.connected(), now);
  switch (button.poll(now)) {
    case shell::Edge::Pressed:
      node.press(millis());
      break;
    case shell::Edge::Released:
      node.release(millis());
      break;
    case shell::Edge::None:
      break;
  }
  node.tick(millis());
  led.show(node.indication(), now);
  // Nothing is wanted more often; a loop without a pause would ask the network stack thousands of times a second, and
  // keep the core hot.
  delay(1);
}
