/** The audit log's event, as the egress path writes it; its shape is src/protocol's, where readers find it as well. */
export type { AuditEvent, AuditKind, AuditSink } from "../protocol/audit-event.ts";
