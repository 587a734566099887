/*
 * The one Yjs of these tests. The providers are taken as CommonJS, because the oldest one is no
 * valid module for every Node; and a process must not hold Yjs twice.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

const Y = require('yjs');

export const PROVIDERS = {
  1.5: require('y-websocket-1').WebsocketProvider,
  '2.x': require('y-websocket-2').WebsocketProvider,
  '3.x': require('y-websocket').WebsocketProvider,
};

export default Y;
