// The link port on PubSubClient, over TCP or, built with VOICE_TLS, over TLS.
#ifndef VOICE_SHELL_MQTT_LINK_H
#define VOICE_SHELL_MQTT_LINK_H

#include <PubSubClient.h>

#ifdef VOICE_TLS
#include <NetworkClientSecure.h>
#else
#include <WiFi.h>
#endif

#include "settings.h"
#include "voice_core/backoff.h"
#include "voice_core/ports.h"

namespace voice {
class Node;
}

namespace shell {

class MqttLink final : public voice::Link {
 public:
  MqttLink();

  // Keeps references to all three. False, told over serial: no memory for the packet buffer.
  bool begin(const Settings& settings, const char* device_id, voice::Node& node);

  // Called in every loop: takes at most one packet, notices a loss, and connects while `network_up` says that there is
  // a network. Connecting blocks for as long as the limits in mqtt_link.cpp allow, so it is only done while nothing is
  // played.
  void poll(bool network_up, uint32_t now_ms);

  bool connected() override { return up_; }
  bool publish(const char* topic, const uint8_t* payload, size_t size, bool retained) override;

 private:
  void connect();
  bool subscribe();
  bool writable();
  void tell_why_not();

#ifdef VOICE_TLS
  NetworkClientSecure socket_;
#else
  WiFiClient socket_;
#endif
  PubSubClient client_;
  voice::Backoff backoff_;
  const Settings* settings_ = nullptr;
  const char* device_id_ = "";
  voice::Node* node_ = nullptr;
  bool up_ = false;    // connected, subscribed, and told to the node
  bool told_ = false;  // that there is no broker to connect to
  bool stalled_ = false;
  uint32_t stalled_at_ms_ = 0;
  uint32_t tried_at_ms_ = 0;
  uint32_t wait_ms_ = 0;
};

}  // namespace shell

#endif
