#include "mqtt_link.h"

#include <Arduino.h>
#include <WiFi.h>
#include <esp_random.h>
#include <lwip/sockets.h>

#include "voice_core/config.h"
#include "voice_core/node.h"

#ifdef VOICE_TLS
#if !__has_include("ca_cert.h")
#error "TLS needs the broker's CA certificate: copy include/ca_cert.example.h to include/ca_cert.h and paste it there"
#endif
#include "ca_cert.h"
#endif

namespace shell {
namespace {

// What can block the loop, and for how long at most. While it does nothing is recorded or decoded; the speaker's and
// the microphone's DMA buffers cover the first 160 ms.
//   finding the broker by name    the resolver's own limit, some seconds; an IP address in mqtt_host avoids it
//   connecting                    connect_timeout_ms, then reply_timeout_s for the broker's answer
//   TLS                           handshake_timeout_s more
//   a packet of which half came   reply_timeout_s
//   publishing                    next to nothing, since writable() is asked first; 10 s should a message not fit then
constexpr uint32_t connect_timeout_ms = 3000;
constexpr uint16_t reply_timeout_s = 4;
#ifdef VOICE_TLS
constexpr unsigned long handshake_timeout_s = 8;
#endif

// A link that has taken nothing for so long is given up: TCP itself would try for minutes, and PubSubClient notice only
// by its second ping. As long as a dead WiFi takes to be told.
constexpr uint32_t stall_limit_ms = 6000;

// PubSubClient drops its own link when a ping is not answered within one interval, and a loop that is busy cannot
// answer: long enough that no connect or decode comes near it.
constexpr uint16_t keep_alive_s = 60;

constexpr char offline[] = "offline";

const char* or_null(const char* text) { return text[0] == '\0' ? nullptr : text; }

}  // namespace

MqttLink::MqttLink()
    : client_(socket_), backoff_(voice::config::backoff_min_ms, voice::config::backoff_max_ms, esp_random()) {}

bool MqttLink::begin(const Settings& settings, const char* device_id, voice::Node& node) {
  settings_ = &settings;
  device_id_ = device_id;
  node_ = &node;
  socket_.setConnectionTimeout(connect_timeout_ms);
#ifdef VOICE_TLS
  socket_.setCACert(voice_ca_cert);
  socket_.setHandshakeTimeout(handshake_timeout_s);
#endif
  client_.setServer(settings.get(Key::MqttHost), settings.mqtt_port());
  client_.setKeepAlive(keep_alive_s);
  client_.setSocketTimeout(reply_timeout_s);
  client_.setCallback(
      [this](char* topic, uint8_t* payload, unsigned int size) { node_->receive(topic, payload, size, millis()); });
  if (client_.setBufferSize(voice::config::max_packet)) return true;
  Serial.printf("mqtt: no memory for a packet of %u bytes\n", static_cast<unsigned>(voice::config::max_packet));
  return false;
}

void MqttLink::poll(bool network_up, uint32_t now_ms) {
  if (up_) {
    if (stalled_ && writable()) stalled_ = false;
    // Without a network TCP would take minutes to notice.
    const bool gone = !network_up || (stalled_ && now_ms - stalled_at_ms_ >= stall_limit_ms);
    if (gone) socket_.stop();
    // At most for as long as the node waits for a speaker, which is less than the keep-alive.
    if (!gone && !node_->has_room()) return;
    if (client_.loop()) return;
    up_ = false;
    Serial.println("mqtt: connection lost");
    node_->link_down(millis());
  }
  if (!network_up) return;
  if (settings_->get(Key::MqttHost)[0] == '\0') {
    if (!told_) Serial.println("mqtt: no broker set. Try: set mqtt_host <name or address>, save");
    told_ = true;
    return;
  }
  if (now_ms - tried_at_ms_ < wait_ms_) return;
  // A reply goes on playing from its buffer while the link is away.
  if (!node_->quiet()) return;
  connect();
}

void MqttLink::connect() {
  const bool connected =
      client_.connect(device_id_, or_null(settings_->get(Key::MqttUser)), or_null(settings_->get(Key::MqttPassword)),
                      node_->topics().online(), 0, true, offline);
  tried_at_ms_ = millis();
  if (connected && subscribe()) {
    // The end of an utterance is a small message after a large one: Nagle's algorithm would keep it back until the
    // broker has acknowledged that.
    socket_.setNoDelay(true);
    backoff_.reset();
    wait_ms_ = backoff_.next();  // a broker that takes connections and drops them is not called in a circle
    up_ = true;
    stalled_ = false;
    Serial.printf("mqtt: connected to %s:%u as %s\n", settings_->get(Key::MqttHost), settings_->mqtt_port(),
                  device_id_);
    node_->link_up(millis(), WiFi.RSSI());
    return;
  }
  wait_ms_ = backoff_.next();
  tell_why_not();
  socket_.stop();
}

bool MqttLink::subscribe() {
  // QoS 0: at QoS 1 a broker holds back what it could not deliver, and a reply is worth nothing later. The state too:
  // it comes anew at each connect, and PubSubClient neither acknowledges what exceeds its buffer nor asks writable()
  // first.
  const voice::Topics& topics = node_->topics();
  return client_.subscribe(topics.out(), 0) && client_.subscribe(topics.event(), 0) &&
         client_.subscribe(topics.state(), 0);
}

void MqttLink::tell_why_not() {
  const char* host = settings_->get(Key::MqttHost);
  const unsigned port = settings_->mqtt_port();
  const unsigned wait = wait_ms_;
  switch (client_.state()) {
    case MQTT_CONNECT_BAD_CREDENTIALS:
    case MQTT_CONNECT_UNAUTHORIZED:
      Serial.printf("mqtt: %s refuses this login; check mqtt_user and mqtt_password; again in %u ms\n", host, wait);
      break;
    case MQTT_CONNECT_BAD_CLIENT_ID:
      Serial.printf("mqtt: %s refuses the client id %s; again in %u ms\n", host, device_id_, wait);
      break;
    case MQTT_CONNECT_FAILED:
#ifdef VOICE_TLS
      Serial.printf("mqtt: no TLS connection to %s:%u; check mqtt_host, mqtt_port and ca_cert.h; again in %u ms\n",
                    host, port, wait);
#else
      Serial.printf(
          "mqtt: nobody answers at %s:%u; check mqtt_host, that the broker listens on more than localhost, "
          "and the firewall; again in %u ms\n",
          host, port, wait);
#endif
      break;
    default:
      Serial.printf(
#ifdef VOICE_TLS
          "mqtt: %s:%u is no MQTT broker or is overloaded; again in %u ms\n",
#else
          "mqtt: %s:%u is no MQTT broker, one that wants TLS (a -tls build), or is overloaded; again in %u ms\n",
#endif
          host, port, wait);
      break;
  }
}

// Whether TCP takes a message now. lwIP says yes only while half of its send buffer is free, 2.8 KB, which is more than
// a frame of audio has. Without asking, a network that has just gone would hold up the loop, the microphone and the
// button with it, for the 10 s that a write may take.
bool MqttLink::writable() {
  const int fd = socket_.fd();
  if (fd <= 0) return false;  // 0: what NetworkClientSecure says once it has been stopped; it is the console's
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  timeval at_once = {};
  return select(fd + 1, nullptr, &set, nullptr, &at_once) > 0;
}

bool MqttLink::publish(const char* topic, const uint8_t* payload, size_t size, bool retained) {
  if (!up_) return false;
  if (!writable()) {
    if (!stalled_) stalled_at_ms_ = millis();
    stalled_ = true;
    return false;
  }
  if (client_.publish(topic, payload, static_cast<unsigned int>(size), retained)) return true;
  // A part of the packet may have been sent, and whatever followed would be read as the rest of it.
  socket_.stop();
  return false;
}

}  // namespace shell
