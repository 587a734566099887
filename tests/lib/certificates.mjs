/* A certificate authority of a test's own, made by openssl in a directory of the test. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

const openssl = (directory, args) =>
  execFileSync('openssl', ['req', '-x509', ...NEW_KEY, '-days', '2', ...args], {
    cwd: directory,
    stdio: 'pipe',
  });

export class Authority {
  constructor(directory) {
    this.directory = directory;
    openssl(directory, ['-subj', '/CN=test', '-keyout', 'ca.key', '-out', 'ca.crt']);
    this.file = join(directory, 'ca.crt');
    this.certificate = readFileSync(this.file, 'utf8');
  }

  /* Issues one for 127.0.0.1 into NAME.crt and NAME.key, over what is there; its serial number as
   * a client sees it. */
  issue(name) {
    const names = 'subjectAltName=IP:127.0.0.1,DNS:localhost';
    openssl(this.directory, ['-subj', '/CN=localhost', '-addext', names,
      '-addext', 'basicConstraints=critical,CA:FALSE', '-CA', 'ca.crt', '-CAkey', 'ca.key',
      '-keyout', `${name}.key`, '-out', `${name}.crt`]);
    const cert = join(this.directory, `${name}.crt`);
    const key = join(this.directory, `${name}.key`);
    return { cert, key, serial: new X509Certificate(readFileSync(cert)).serialNumber };
  }
}
