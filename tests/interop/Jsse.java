// Java's own TLS (JSSE) as a witness, run from source: java Jsse.java ROLE ...
//   client PORT CA [IDENTITY.p12]           verifies ks.example, sends what standard input says, prints what comes
//   server CA IDENTITY.p12 [mutual]         prints "PORT n", serves one connection on loopback: "echo: " before each line
// Both print SESSION with protocol and suite, and CLOSED when the peer said close_notify; exit code 1 and one line on
// standard error otherwise. A missing close_notify is an error to JSSE.
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Jsse {
  static final char[] PASSWORD = "witness".toCharArray();

  static SSLContext context(String ca, String identity) throws Exception {
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    try (InputStream file = new FileInputStream(ca)) {
      trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(trusted);
    KeyManagerFactory keys = null;
    if (identity != null) {
      KeyStore own = KeyStore.getInstance("PKCS12");
      try (InputStream file = new FileInputStream(identity)) {
        own.load(file, PASSWORD);
      }
      keys = KeyManagerFactory.getInstance("PKIX");
      keys.init(own, PASSWORD);
    }
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys == null ? null : keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  static void say(String text) {
    System.out.println(text);
    System.out.flush();
  }

  static void describe(SSLSocket socket) {
    SSLSession session = socket.getSession();
    say("SESSION " + session.getProtocol() + " " + session.getCipherSuite());
  }

  static void client(int port, String ca, String identity) throws Exception {
    Socket tcp = new Socket(InetAddress.getLoopbackAddress(), port);
    SSLSocket socket =
        (SSLSocket) context(ca, identity).getSocketFactory().createSocket(tcp, "ks.example", port, true);
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setEndpointIdentificationAlgorithm("HTTPS");  // chain and name
    socket.setSSLParameters(parameters);
    socket.startHandshake();
    describe(socket);
    // One end of the socket closes it, not both: where the server's close_notify and the end of the input come together,
    // JSSE complains of a socket that is closed already.
    Object closing = new Object();
    boolean[] ended = {false};
    Thread writer = new Thread(() -> {
      try {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        OutputStream out = socket.getOutputStream();
        for (String line = lines.readLine(); line != null; line = lines.readLine())
          out.write((line + "\n").getBytes(StandardCharsets.US_ASCII));
        synchronized (closing) {
          if (!ended[0]) socket.shutdownOutput();  // close_notify
        }
      } catch (Exception error) {
        System.err.println("writing: " + error);
      }
    });
    writer.setDaemon(true);
    writer.start();
    BufferedReader answers =
        new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
    for (String line = answers.readLine(); line != null; line = answers.readLine()) say(line);
    synchronized (closing) {
      ended[0] = true;
      say("CLOSED");
      socket.close();
    }
  }

  static void server(String ca, String identity, boolean mutual) throws Exception {
    SSLServerSocket listener = (SSLServerSocket) context(ca, identity).getServerSocketFactory().createServerSocket(
        0, 1, InetAddress.getLoopbackAddress());
    listener.setNeedClientAuth(mutual);
    say("PORT " + listener.getLocalPort());
    SSLSocket socket = (SSLSocket) listener.accept();
    socket.startHandshake();
    describe(socket);
    if (mutual) say("PEER " + socket.getSession().getPeerPrincipal());
    OutputStream out = socket.getOutputStream();
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
    for (String line = lines.readLine(); line != null; line = lines.readLine())
      out.write(("echo: " + line + "\n").getBytes(StandardCharsets.US_ASCII));
    say("CLOSED");
    socket.close();
  }

  public static void main(String[] words) {
    try {
      if (words[0].equals("client"))
        client(Integer.parseInt(words[1]), words[2], words.length > 3 ? words[3] : null);
      else
        server(words[1], words[2], words.length > 3 && words[3].equals("mutual"));
    } catch (Exception error) {
      System.err.println("JSSE: " + error);
      System.exit(1);
    }
    System.exit(0);
  }
}
