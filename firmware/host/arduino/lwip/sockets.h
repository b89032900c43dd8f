// select() as the board's TCP answers it: whether a connection takes more does not depend on Linux's buffers but on how
// much of lwIP's is filled with what does not get through. Only for writing, and only at once.
#ifndef HOST_ARDUINO_LWIP_SOCKETS_H
#define HOST_ARDUINO_LWIP_SOCKETS_H

#include <sys/select.h>

int lwip_select(int count, fd_set* readable, fd_set* writable, fd_set* failed, timeval* limit);
#define select lwip_select

#endif
