#include "handshake/certificate/multicast_extension.h"

#include <openssl/asn1t.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "handshake/crypto/openssl_ptr.h"

namespace sealcast::handshake {
namespace {

struct Asn1Multicast {
  ASN1_BOOLEAN decrypt;
  STACK_OF(ASN1_UTF8STRING) * groups;
};

ASN1_SEQUENCE(Asn1Multicast) =
    {
        ASN1_SIMPLE(Asn1Multicast, decrypt, ASN1_BOOLEAN),
        ASN1_SEQUENCE_OF_OPT(Asn1Multicast, groups, ASN1_UTF8STRING),
} static_ASN1_SEQUENCE_END(Asn1Multicast)

        void free_multicast(Asn1Multicast * value) {
  ASN1_item_free(reinterpret_cast<ASN1_VALUE*>(value), ASN1_ITEM_rptr(Asn1Multicast));
}

using Asn1MulticastPtr = std::unique_ptr<Asn1Multicast, OpensslDeleter<free_multicast>>;
using ObjectPtr = std::unique_ptr<ASN1_OBJECT, OpensslDeleter<ASN1_OBJECT_free>>;
using OctetStringPtr = std::unique_ptr<ASN1_OCTET_STRING, OpensslDeleter<ASN1_OCTET_STRING_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslDeleter<X509_EXTENSION_free>>;
using Utf8Ptr = std::unique_ptr<ASN1_UTF8STRING, OpensslDeleter<ASN1_UTF8STRING_free>>;

ObjectPtr extension_oid() {
  return ObjectPtr(OBJ_txt2obj(multicast_extension_oid, 1));
}

bool fill(Asn1Multicast& value, const MulticastExtension& extension) {
  value.decrypt = extension.decrypt ? 0xff : 0;
  if (!extension.groups) return true;
  value.groups = sk_ASN1_UTF8STRING_new_null();
  if (value.groups == nullptr) return false;
  for (const std::string& group : *extension.groups) {
    Utf8Ptr text(ASN1_UTF8STRING_new());
    if (!text || ASN1_STRING_set(text.get(), group.data(), static_cast<int>(group.size())) != 1 ||
        sk_ASN1_UTF8STRING_push(value.groups, text.get()) == 0)
      return false;
    (void)text.release();  // the stack owns it now
  }
  return true;
}

}  // namespace

bool MulticastExtension::allows(const std::string& group_id) const {
  return decrypt && (!groups || std::find(groups->begin(), groups->end(), group_id) != groups->end());
}

Result<Bytes> encode_multicast_extension(const MulticastExtension& extension) {
  const Asn1MulticastPtr value(reinterpret_cast<Asn1Multicast*>(ASN1_item_new(ASN1_ITEM_rptr(Asn1Multicast))));
  unsigned char* der = nullptr;
  int size = -1;
  if (value && fill(*value, extension))
    size = ASN1_item_i2d(reinterpret_cast<ASN1_VALUE*>(value.get()), &der, ASN1_ITEM_rptr(Asn1Multicast));
  if (size < 0) return fail("encoding the multicast extension: " + take_openssl_error());
  Bytes encoded(der, der + size);
  OPENSSL_free(der);
  return encoded;
}

Result<MulticastExtension> decode_multicast_extension(ByteView der) {
  const unsigned char* next = der.data();
  const Asn1MulticastPtr value(reinterpret_cast<Asn1Multicast*>(
      ASN1_item_d2i(nullptr, &next, static_cast<long>(der.size()), ASN1_ITEM_rptr(Asn1Multicast))));
  if (!value) return fail("the multicast extension is not as defined: " + take_openssl_error());
  if (next != der.data() + der.size()) return fail("the multicast extension has trailing bytes");
  MulticastExtension extension;
  extension.decrypt = value->decrypt != 0;
  if (value->groups != nullptr) {
    extension.groups.emplace();
    for (int i = 0; i < sk_ASN1_UTF8STRING_num(value->groups); ++i) {
      const ASN1_UTF8STRING* text = sk_ASN1_UTF8STRING_value(value->groups, i);
      const unsigned char* data = ASN1_STRING_get0_data(text);
      extension.groups->emplace_back(data, data + ASN1_STRING_length(text));
    }
  }
  return extension;
}

Result<void> add_multicast_extension(x509_st* certificate, const MulticastExtension& extension) {
  SEALCAST_TRY_ASSIGN(auto der, encode_multicast_extension(extension));
  const ObjectPtr oid = extension_oid();
  const OctetStringPtr octets(ASN1_OCTET_STRING_new());
  if (!oid || !octets || ASN1_OCTET_STRING_set(octets.get(), der.data(), static_cast<int>(der.size())) != 1)
    return fail("making the multicast extension: " + take_openssl_error());
  const ExtensionPtr made(X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), 0, octets.get()));
  if (!made || X509_add_ext(certificate, made.get(), -1) != 1)
    return fail("adding the multicast extension: " + take_openssl_error());
  return {};
}

Result<std::optional<MulticastExtension>> find_multicast_extension(const x509_st* certificate) {
  const ObjectPtr oid = extension_oid();
  if (!oid) return fail("the multicast extension's OID: " + take_openssl_error());
  const int index = X509_get_ext_by_OBJ(certificate, oid.get(), -1);
  if (index < 0) return std::optional<MulticastExtension>();
  if (X509_get_ext_by_OBJ(certificate, oid.get(), index) >= 0) return fail("the multicast extension comes twice");
  const ASN1_OCTET_STRING* octets = X509_EXTENSION_get_data(X509_get_ext(certificate, index));
  SEALCAST_TRY_ASSIGN(auto decoded, decode_multicast_extension({ASN1_STRING_get0_data(octets),
                                                                static_cast<std::size_t>(ASN1_STRING_length(octets))}));
  return std::optional<MulticastExtension>(std::move(decoded));
}

}  // namespace sealcast::handshake
