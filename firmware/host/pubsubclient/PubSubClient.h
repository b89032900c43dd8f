// Stands in for the PubSubClient library (2.8) where that is not at hand: the same calls, written anew, with the same
// limits, because the limits are what a sketch must be tested against:
//  - one buffer, 256 bytes unless set, holds a whole packet in either direction;
//  - a longer message that arrives is dropped without a word, a longer one to be published is refused;
//  - QoS 0 out, 0 and 1 in, MQTT 3.1.1; one packet a call of loop().
#ifndef HOST_PUBSUBCLIENT_H
#define HOST_PUBSUBCLIENT_H

#include <Arduino.h>

#include <functional>
#include <vector>

#include "Client.h"
#include "IPAddress.h"

#define MQTT_MAX_PACKET_SIZE 256
#define MQTT_KEEPALIVE 15
#define MQTT_SOCKET_TIMEOUT 15

// What state() says.
#define MQTT_CONNECTION_TIMEOUT -4
#define MQTT_CONNECTION_LOST -3
#define MQTT_CONNECT_FAILED -2
#define MQTT_DISCONNECTED -1
#define MQTT_CONNECTED 0
#define MQTT_CONNECT_BAD_PROTOCOL 1
#define MQTT_CONNECT_BAD_CLIENT_ID 2
#define MQTT_CONNECT_UNAVAILABLE 3
#define MQTT_CONNECT_BAD_CREDENTIALS 4
#define MQTT_CONNECT_UNAUTHORIZED 5

// At most the five bytes of the type and the length come before the rest of a packet.
#define MQTT_MAX_HEADER_SIZE 5

class PubSubClient : public Print {
 public:
  // The topic, the payload and its size.
  using Callback = std::function<void(char*, uint8_t*, unsigned int)>;

  explicit PubSubClient(Client& client);

  PubSubClient& setServer(const char* host, uint16_t port);
  PubSubClient& setServer(IPAddress address, uint16_t port);
  PubSubClient& setCallback(Callback callback);
  PubSubClient& setClient(Client& client);
  PubSubClient& setKeepAlive(uint16_t seconds);
  PubSubClient& setSocketTimeout(uint16_t seconds);
  boolean setBufferSize(uint16_t size);
  uint16_t getBufferSize();

  boolean connect(const char* id);
  boolean connect(const char* id, const char* user, const char* password);
  boolean connect(const char* id, const char* will_topic, uint8_t will_qos, boolean will_retain, const char* will);
  boolean connect(const char* id, const char* user, const char* password, const char* will_topic, uint8_t will_qos,
                  boolean will_retain, const char* will);
  boolean connect(const char* id, const char* user, const char* password, const char* will_topic, uint8_t will_qos,
                  boolean will_retain, const char* will, boolean clean_session);
  void disconnect();
  boolean connected();
  int state();

  boolean publish(const char* topic, const char* payload);
  boolean publish(const char* topic, const char* payload, boolean retained);
  boolean publish(const char* topic, const uint8_t* payload, unsigned int size);
  boolean publish(const char* topic, const uint8_t* payload, unsigned int size, boolean retained);
  // A message of any size in parts: begin, any number of writes that make up `size`, end.
  boolean beginPublish(const char* topic, unsigned int size, boolean retained);
  int endPublish();
  size_t write(uint8_t byte) override;
  size_t write(const uint8_t* bytes, size_t size) override;

  boolean subscribe(const char* topic);
  boolean subscribe(const char* topic, uint8_t qos);
  boolean unsubscribe(const char* topic);

  // Keeps the connection alive and takes at most one packet. False: not connected.
  boolean loop();

 private:
  bool read_byte(uint8_t& byte);
  size_t read_packet();
  void take(size_t size);
  void take_publish(size_t size);
  bool send(uint8_t type, const std::vector<uint8_t>& body);
  bool send_topics(uint8_t type, const char* topic, const std::vector<uint8_t>& options);
  bool keep_alive();
  void fail(int state);

  Client* client_;
  const char* host_ = nullptr;
  IPAddress address_;
  uint16_t port_ = 0;
  Callback callback_;
  std::vector<uint8_t> buffer_;
  size_t header_size_ = 0;
  uint32_t keep_alive_ms_ = MQTT_KEEPALIVE * 1000U;
  uint32_t timeout_ms_ = MQTT_SOCKET_TIMEOUT * 1000U;
  uint32_t last_in_ = 0;
  uint32_t last_out_ = 0;
  bool ping_outstanding_ = false;
  uint16_t packet_id_ = 0;
  int state_ = MQTT_DISCONNECTED;
};

#endif
