#include "ctl/welcome.h"

#include "common/address.h"

#include <string.h>

void welcome_print(FILE *out, const char *host, uint32_t port, bool has_tls)
{
    char *http CLEANUP_FREE = address_url(has_tls ? "https" : "http", host, port);
    char *ws CLEANUP_FREE = address_url(has_tls ? "wss" : "ws", host, port);

    (void)fprintf(out, "ready %s\n\n", http);
    (void)fprintf(out,
                  "y-websocket:\n"
                  "  import * as Y from 'yjs'\n"
                  "  import { WebsocketProvider } from 'y-websocket'\n"
                  "  const doc = new Y.Doc()\n"
                  "  const provider = new WebsocketProvider('%s/yjs', 'demo', doc)\n\n",
                  ws);
    (void)fprintf(out,
                  "Hocuspocus:\n"
                  "  import { HocuspocusProvider } from '@hocuspocus/provider'\n"
                  "  new HocuspocusProvider({ url: '%s/hocuspocus', name: 'demo' })\n\n",
                  ws);
    (void)fprintf(out,
                  "y-sweet:\n"
                  "  import { DocumentManager } from '@y-sweet/sdk'\n"
                  "  new DocumentManager('%s://%s')\n\n",
                  has_tls ? "yss" : "ys", strstr(ws, "://") + 3);
    (void)fprintf(out,
                  "JSON, in a browser or Node 22:\n"
                  "  const socket = new WebSocket('%s/rooms/demo/ws')\n"
                  "  socket.onmessage = (e) => console.log(e.data)\n"
                  "  socket.onopen = () => socket.send("
                  "'{\"t\":\"presence\",\"user\":\"me\",\"cursor\":0}')\n\n",
                  ws);
    (void)fprintf(out, "curl:\n  curl %s/healthz\n", http);
    (void)fflush(out);
}
