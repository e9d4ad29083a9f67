/** What a message's Content-Type says of its body. The field comes from the guest or from an upstream. */
import type { Place } from "./value-writing.ts";

const FORM = "application/x-www-form-urlencoded";
const JSON_TYPE = /^(?:application\/(?:json|x-ndjson|ndjson|jsonl|json-seq|graphql)|text\/json)$|\+json$/;
const XML_TYPE = /^(?:application|text)\/(?:xml|html)$|\+xml$/;
/** gRPC, gRPC-Web without its base64, and the streams of Connect. */
const ENVELOPED_TYPE = /^application\/(?:grpc(?:-web)?(?:$|\+)|connect\+)/;
/** Formats in which the length of a string is written before it: another length would break them. */
const SEALED_TYPE =
  /^application\/(?:grpc|connect|(?:x-|vnd\.google\.)?protobuf|(?:x-)?proto|(?:x-|vnd\.)?msgpack|cbor|avro|bson|x-thrift|vnd\.apache\.(?:thrift|avro|parquet|arrow))|\+(?:proto|protobuf|msgpack|cbor)$/;

export interface BodyKind {
  place: Place;
  /** Whether the body is a sequence of messages, each after a byte of flags and its length. */
  enveloped: boolean;
}

export function kindOfBody(contentType: string | undefined): BodyKind {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return { place: placeOf(type), enveloped: ENVELOPED_TYPE.test(type) };
}

function placeOf(type: string): Place {
  if (type === FORM) return "form";
  if (SEALED_TYPE.test(type)) return "sealed";
  if (JSON_TYPE.test(type)) return "json";
  return XML_TYPE.test(type) ? "xml" : "raw";
}

/** A WebSocket message does not say what it is. */
export function placeOfMessage(data: Buffer): Place {
  for (const byte of data) {
    if (byte === 0x7b || byte === 0x5b) return "json";
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return "raw";
  }
  return "raw";
}
