#include "WiFi.h"

#include "options.h"
#include "radio.h"

WiFiClass WiFi;

wl_status_t WiFiClass::begin(const char* ssid, const char*) {
  ssid_ = ssid;
  return reconnect() ? status() : WL_CONNECT_FAILED;
}

bool WiFiClass::setAutoReconnect(bool wanted) {
  host::radio().retry(wanted);
  return true;
}

bool WiFiClass::reconnect() {
  if (ssid_.isEmpty()) return false;
  host::radio().join();
  return true;
}

bool WiFiClass::disconnect(bool, bool) {
  host::radio().leave();
  return true;
}

wl_status_t WiFiClass::status() {
  if (host::radio().associated()) return WL_CONNECTED;
  return host::radio().refused() ? WL_NO_SSID_AVAIL : WL_DISCONNECTED;
}

uint8_t* WiFiClass::macAddress(uint8_t* mac) {
  std::copy(host::options().mac.begin(), host::options().mac.end(), mac);
  return mac;
}

String WiFiClass::macAddress() {
  const auto& mac = host::options().mac;
  char text[18];
  snprintf(text, sizeof text, "%02X:%02X:%02X:%02X:%02X:%02X", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return String(text);
}

IPAddress WiFiClass::localIP() { return isConnected() ? IPAddress(127, 0, 0, 1) : IPAddress(); }
