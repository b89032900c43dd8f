#ifndef HOST_ARDUINO_WIFI_H
#define HOST_ARDUINO_WIFI_H

#include "Arduino.h"
#include "WiFiClient.h"

typedef enum {
  WL_NO_SHIELD = 255,
  WL_IDLE_STATUS = 0,
  WL_NO_SSID_AVAIL = 1,
  WL_SCAN_COMPLETED = 2,
  WL_CONNECTED = 3,
  WL_CONNECT_FAILED = 4,
  WL_CONNECTION_LOST = 5,
  WL_DISCONNECTED = 6
} wl_status_t;

typedef enum { WIFI_OFF = 0, WIFI_STA = 1 } wifi_mode_t;
#define WIFI_MODE_STA WIFI_STA

// The station. It finds any network that it is asked for while `!wifi` says that there is one.
class WiFiClass {
 public:
  bool mode(wifi_mode_t) { return true; }
  bool persistent(bool) { return true; }
  bool setSleep(bool) { return true; }
  bool setAutoReconnect(bool wanted);
  bool setHostname(const char*) { return true; }
  wl_status_t begin(const char* ssid, const char* password = nullptr);
  bool reconnect();
  bool disconnect(bool wifi_off = false, bool erase = false);
  wl_status_t status();
  bool isConnected() { return status() == WL_CONNECTED; }
  uint8_t* macAddress(uint8_t* mac);
  String macAddress();
  IPAddress localIP();
  int8_t RSSI() { return isConnected() ? -50 : 0; }  // dBm

 private:
  String ssid_;
};

extern WiFiClass WiFi;

#endif
