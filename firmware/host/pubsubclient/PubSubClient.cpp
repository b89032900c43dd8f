#include "PubSubClient.h"

namespace {

enum Type : uint8_t {
  connect_packet = 0x10,
  connack = 0x20,
  publish_packet = 0x30,
  puback = 0x40,
  subscribe_packet = 0x82,
  unsubscribe_packet = 0xA2,
  pingreq = 0xC0,
  pingresp = 0xD0,
  disconnect_packet = 0xE0,
};

constexpr uint8_t type_bits = 0xF0;
constexpr uint8_t qos_bits = 0x06;
constexpr uint8_t qos_1 = 0x02;
constexpr uint8_t retain = 0x01;

void append(std::vector<uint8_t>& body, uint16_t number) {
  body.push_back(static_cast<uint8_t>(number >> 8));
  body.push_back(static_cast<uint8_t>(number & 0xFF));
}

void append(std::vector<uint8_t>& body, const char* text) {
  const size_t size = strlen(text);
  append(body, static_cast<uint16_t>(size));
  body.insert(body.end(), text, text + size);
}

std::vector<uint8_t> header(uint8_t type, size_t length) {
  std::vector<uint8_t> bytes{type};
  do {
    bytes.push_back(static_cast<uint8_t>(length % 128 | (length > 127 ? 128 : 0)));
    length /= 128;
  } while (length > 0);
  return bytes;
}

}  // namespace

PubSubClient::PubSubClient(Client& client) : client_(&client), buffer_(MQTT_MAX_PACKET_SIZE) {}

PubSubClient& PubSubClient::setServer(const char* host, uint16_t port) {
  host_ = host;
  port_ = port;
  return *this;
}

PubSubClient& PubSubClient::setServer(IPAddress address, uint16_t port) {
  host_ = nullptr;
  address_ = address;
  port_ = port;
  return *this;
}

PubSubClient& PubSubClient::setCallback(Callback callback) {
  callback_ = std::move(callback);
  return *this;
}

PubSubClient& PubSubClient::setClient(Client& client) {
  client_ = &client;
  return *this;
}

PubSubClient& PubSubClient::setKeepAlive(uint16_t seconds) {
  keep_alive_ms_ = seconds * 1000U;
  return *this;
}

PubSubClient& PubSubClient::setSocketTimeout(uint16_t seconds) {
  timeout_ms_ = seconds * 1000U;
  return *this;
}

boolean PubSubClient::setBufferSize(uint16_t size) {
  if (size == 0) return false;
  buffer_.resize(size);
  return true;
}

uint16_t PubSubClient::getBufferSize() { return static_cast<uint16_t>(buffer_.size()); }

boolean PubSubClient::connect(const char* id) {
  return connect(id, nullptr, nullptr, nullptr, 0, false, nullptr, true);
}

boolean PubSubClient::connect(const char* id, const char* user, const char* password) {
  return connect(id, user, password, nullptr, 0, false, nullptr, true);
}

boolean PubSubClient::connect(const char* id, const char* will_topic, uint8_t will_qos, boolean will_retain,
                              const char* will) {
  return connect(id, nullptr, nullptr, will_topic, will_qos, will_retain, will, true);
}

boolean PubSubClient::connect(const char* id, const char* user, const char* password, const char* will_topic,
                              uint8_t will_qos, boolean will_retain, const char* will) {
  return connect(id, user, password, will_topic, will_qos, will_retain, will, true);
}

boolean PubSubClient::connect(const char* id, const char* user, const char* password, const char* will_topic,
                              uint8_t will_qos, boolean will_retain, const char* will, boolean clean_session) {
  if (connected()) return true;
  const bool open = client_->connected() != 0 ||
                    (host_ != nullptr ? client_->connect(host_, port_) : client_->connect(address_, port_)) == 1;
  if (!open) {
    state_ = MQTT_CONNECT_FAILED;
    return false;
  }
  packet_id_ = 1;
  uint8_t flags = clean_session ? 0x02 : 0;
  if (will_topic != nullptr) flags |= static_cast<uint8_t>(0x04 | will_qos << 3 | (will_retain ? 0x20 : 0));
  if (user != nullptr) flags |= static_cast<uint8_t>(0x80 | (password != nullptr ? 0x40 : 0));
  std::vector<uint8_t> body{0, 4, 'M', 'Q', 'T', 'T', 4, flags};
  append(body, static_cast<uint16_t>(keep_alive_ms_ / 1000));
  append(body, id);
  if (will_topic != nullptr) {
    append(body, will_topic);
    append(body, will);
  }
  if (user != nullptr) {
    append(body, user);
    if (password != nullptr) append(body, password);
  }
  if (body.size() + MQTT_MAX_HEADER_SIZE > buffer_.size()) {
    client_->stop();
    return false;
  }
  send(connect_packet, body);
  last_in_ = last_out_ = millis();
  const size_t size = read_packet();
  if (size == 0) {
    fail(MQTT_CONNECTION_TIMEOUT);
    return false;
  }
  if (size != 4 || (buffer_[0] & type_bits) != connack || buffer_[3] != 0) {
    if (size == 4) state_ = buffer_[3];
    client_->stop();
    return false;
  }
  last_in_ = millis();
  ping_outstanding_ = false;
  state_ = MQTT_CONNECTED;
  return true;
}

void PubSubClient::disconnect() {
  send(disconnect_packet, {});
  state_ = MQTT_DISCONNECTED;
  client_->stop();
}

boolean PubSubClient::connected() {
  if (client_->connected() != 0) return state_ == MQTT_CONNECTED;
  if (state_ == MQTT_CONNECTED) fail(MQTT_CONNECTION_LOST);
  return false;
}

int PubSubClient::state() { return state_; }

boolean PubSubClient::publish(const char* topic, const char* payload) { return publish(topic, payload, false); }

boolean PubSubClient::publish(const char* topic, const char* payload, boolean retained) {
  const size_t size = payload == nullptr ? 0 : strlen(payload);
  return publish(topic, reinterpret_cast<const uint8_t*>(payload), static_cast<unsigned int>(size), retained);
}

boolean PubSubClient::publish(const char* topic, const uint8_t* payload, unsigned int size) {
  return publish(topic, payload, size, false);
}

boolean PubSubClient::publish(const char* topic, const uint8_t* payload, unsigned int size, boolean retained) {
  if (!connected() || buffer_.size() < MQTT_MAX_HEADER_SIZE + 2 + strlen(topic) + size) return false;
  std::vector<uint8_t> body;
  append(body, topic);
  body.insert(body.end(), payload, payload + size);
  return send(publish_packet | (retained ? retain : 0), body);
}

boolean PubSubClient::beginPublish(const char* topic, unsigned int size, boolean retained) {
  if (!connected()) return false;
  std::vector<uint8_t> body;
  append(body, topic);
  std::vector<uint8_t> bytes = header(publish_packet | (retained ? retain : 0), body.size() + size);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return write(bytes.data(), bytes.size()) == bytes.size();
}

int PubSubClient::endPublish() { return 1; }

size_t PubSubClient::write(uint8_t byte) { return write(&byte, 1); }

size_t PubSubClient::write(const uint8_t* bytes, size_t size) {
  last_out_ = millis();
  return client_->write(bytes, size);
}

boolean PubSubClient::subscribe(const char* topic) { return subscribe(topic, 0); }

boolean PubSubClient::subscribe(const char* topic, uint8_t qos) {
  return qos <= 1 && send_topics(subscribe_packet, topic, {qos});
}

boolean PubSubClient::unsubscribe(const char* topic) { return send_topics(unsubscribe_packet, topic, {}); }

bool PubSubClient::send_topics(uint8_t type, const char* topic, const std::vector<uint8_t>& options) {
  if (topic == nullptr || buffer_.size() < 9 + strlen(topic) || !connected()) return false;
  packet_id_ = static_cast<uint16_t>(packet_id_ == UINT16_MAX ? 1 : packet_id_ + 1);
  std::vector<uint8_t> body;
  append(body, packet_id_);
  append(body, topic);
  body.insert(body.end(), options.begin(), options.end());
  return send(type, body);
}

boolean PubSubClient::loop() {
  if (!connected() || !keep_alive()) return false;
  if (client_->available() > 0) {
    const size_t size = read_packet();
    if (size > 0) take(size);
  }
  return connected();
}

// False: the broker did not answer the last ping.
bool PubSubClient::keep_alive() {
  const uint32_t time = millis();
  if (time - last_in_ <= keep_alive_ms_ && time - last_out_ <= keep_alive_ms_) return true;
  if (ping_outstanding_) {
    fail(MQTT_CONNECTION_TIMEOUT);
    return false;
  }
  send(pingreq, {});
  last_in_ = time;
  ping_outstanding_ = true;
  return true;
}

void PubSubClient::fail(int state) {
  state_ = state;
  client_->stop();
}

// A byte of the packet that is coming; false: none within the time limit.
bool PubSubClient::read_byte(uint8_t& byte) {
  const uint32_t since = millis();
  while (client_->available() == 0) {
    if (millis() - since >= timeout_ms_ || client_->connected() == 0) return false;
    yield();
  }
  byte = static_cast<uint8_t>(client_->read());
  return true;
}

// Reads a whole packet into the buffer and returns its size; 0: none came, or it did not fit and is gone.
size_t PubSubClient::read_packet() {
  uint8_t byte = 0;
  if (!read_byte(byte)) return 0;
  buffer_[0] = byte;
  size_t used = 1;
  size_t length = 0;
  do {
    if (used == MQTT_MAX_HEADER_SIZE) {
      fail(MQTT_DISCONNECTED);
      return 0;
    }
    if (!read_byte(byte)) return 0;
    length |= static_cast<size_t>(byte & 127) << 7 * (used - 1);
    buffer_[used++] = byte;
  } while (byte >= 128);
  header_size_ = used;
  for (size_t i = 0; i < length; ++i) {
    if (!read_byte(byte)) return 0;
    if (used < buffer_.size()) buffer_[used] = byte;
    ++used;
  }
  return used <= buffer_.size() ? used : 0;
}

void PubSubClient::take(size_t size) {
  last_in_ = millis();
  switch (buffer_[0] & type_bits) {
    case publish_packet:
      take_publish(size);
      break;
    case pingreq:
      send(pingresp, {});
      break;
    case pingresp:
      ping_outstanding_ = false;
      break;
    default:
      break;
  }
}

void PubSubClient::take_publish(size_t size) {
  if (size < header_size_ + 2) return;
  const size_t topic_size = static_cast<size_t>(buffer_[header_size_] << 8 | buffer_[header_size_ + 1]);
  const bool acknowledged = (buffer_[0] & qos_bits) == qos_1;
  const size_t topic_at = header_size_ + 2;
  const size_t payload_at = topic_at + topic_size + (acknowledged ? 2 : 0);
  if (payload_at > size) return;
  std::vector<uint8_t> id;
  if (acknowledged)
    id.assign(buffer_.begin() + static_cast<ptrdiff_t>(payload_at) - 2,
              buffer_.begin() + static_cast<ptrdiff_t>(payload_at));
  if (callback_) {
    // One to the front: the closing NUL of the topic must not overwrite the payload's first byte.
    memmove(buffer_.data() + topic_at - 1, buffer_.data() + topic_at, topic_size);
    buffer_[topic_at - 1 + topic_size] = 0;
    callback_(reinterpret_cast<char*>(buffer_.data()) + topic_at - 1, buffer_.data() + payload_at,
              static_cast<unsigned int>(size - payload_at));
  }
  if (acknowledged) send(puback, id);
}

bool PubSubClient::send(uint8_t type, const std::vector<uint8_t>& body) {
  std::vector<uint8_t> bytes = header(type, body.size());
  bytes.insert(bytes.end(), body.begin(), body.end());
  return write(bytes.data(), bytes.size()) == bytes.size();
}
