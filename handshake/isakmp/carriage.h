// An Endpoint that sends its bytes as ISAKMP messages (P34): it wraps another Endpoint and makes payloads of that one's
// TLS records, one message per flight. Use it in place of the wrapped one; Endpoint's comments hold here, too.
//
//   initiator                                   responder
//   cookie I, cookie 0, no payload   ────────▶                       nothing is kept, nothing computed but one HMAC
//                                    ◀────────  cookies I and R, no payload
//   cookies I and R, ClientHello     ────────▶                       only now a TLS endpoint is made
//                                    ◀───────▶  flights, Message ID 0, up to and with the closing Finished
//                                    ◀───────▶  control channel, Message IDs 1, 2, 3 … in each direction
//
// An error in the carriage itself (cookies, order, form) is fatal like a broken handshake, but gets no answer: there is
// no peer yet, or no longer, that could take a TLS alert. But a client that sends plain TLS to a responder gets one
// plain TLS alert (Reason::wrong_carriage).
#pragma once

#include <functional>
#include <memory>

#include "handshake/endpoint.h"
#include "handshake/isakmp/cookie.h"

namespace sealcast::isakmp {

// Draws the initiator's cookie from random. Sends the cookie request at once, and inner's output after the answer.
std::unique_ptr<handshake::Endpoint> make_initiator(std::unique_ptr<handshake::Endpoint> inner,
                                                    handshake::Random& random);

// make_inner is called once, when the peer has shown its cookie. keys must outlive the endpoint.
std::unique_ptr<handshake::Endpoint> make_responder(std::function<std::unique_ptr<handshake::Endpoint>()> make_inner,
                                                    const CookieKeys& keys, const PeerAddress& peer);

}  // namespace sealcast::isakmp
