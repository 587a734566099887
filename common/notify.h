/* Tells the service manager (systemd's, or the `concord` launcher) how this process is, by the
 * sd_notify protocol: one datagram to $NOTIFY_SOCKET. Without that variable nothing happens. */
#pragma once

void notify_ready(void);
