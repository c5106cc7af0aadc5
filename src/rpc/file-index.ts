import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

/** The proto files behind some services, found by what they define. */
export interface FileIndex {
  /** By path, such as "tollgate/v1/key.proto". */
  byName(name: string): DescFile | undefined;
  /** By the full name of anything: a message, field, oneof, enum, enum value, service, method, extension. */
  bySymbol(symbol: string): DescFile | undefined;
  byExtension(extendee: string, number: number): DescFile | undefined;
  /** Numbers of all extensions of a message; undefined: there is no such message. */
  extensionNumbers(extendee: string): readonly number[] | undefined;
  /** Serialized FileDescriptorProtos: the file's own first, then those that it needs, each once. */
  serialized(file: DescFile): readonly Uint8Array[];
}

export function createFileIndex(services: readonly DescService[]): FileIndex {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  const serializedFiles = new Map<DescFile, Uint8Array>();

  for (const service of services) {
    for (const file of closure(service.file)) {
      if (files.has(file.proto.name)) continue;
      files.set(file.proto.name, file);
      addFile(file);
    }
  }

  function addFile(file: DescFile): void {
    const scope = prefixOf(file.proto.package);
    for (const message of file.proto.messageType) addMessage(message, scope, file);
    for (const descEnum of file.proto.enumType) addEnum(descEnum, scope, file);
    for (const extension of file.proto.extension) addExtension(extension, scope, file);
    for (const service of file.proto.service) {
      symbols.set(scope + service.name, file);
      for (const method of service.method) symbols.set(`${scope}${service.name}.${method.name}`, file);
    }
  }

  function addMessage(message: DescriptorProto, scope: string, file: DescFile): void {
    symbols.set(scope + message.name, file);
    const within = `${scope}${message.name}.`;
    for (const member of [...message.field, ...message.oneofDecl]) symbols.set(within + member.name, file);
    for (const nested of message.nestedType) addMessage(nested, within, file);
    for (const nested of message.enumType) addEnum(nested, within, file);
    for (const nested of message.extension) addExtension(nested, within, file);
  }

  /** An enum's values are named beside it, not within it. */
  function addEnum(descEnum: EnumDescriptorProto, scope: string, file: DescFile): void {
    symbols.set(scope + descEnum.name, file);
    for (const value of descEnum.value) symbols.set(scope + value.name, file);
  }

  function addExtension(extension: FieldDescriptorProto, scope: string, file: DescFile): void {
    symbols.set(scope + extension.name, file);
    const extendee = extension.extendee.replace(/^\./, "");
    const known = extensions.get(extendee) ?? new Map<number, DescFile>();
    extensions.set(extendee, known.set(extension.number, file));
  }

  function serialize(file: DescFile): Uint8Array {
    const bytes = serializedFiles.get(file) ?? toBinary(FileDescriptorProtoSchema, file.proto);
    serializedFiles.set(file, bytes);
    return bytes;
  }

  return {
    byName: (name) => files.get(name),
    bySymbol: (symbol) => symbols.get(symbol),
    byExtension: (extendee, number) => extensions.get(extendee)?.get(number),
    extensionNumbers(extendee) {
      if (!symbols.has(extendee)) return undefined;
      return [...(extensions.get(extendee)?.keys() ?? [])].sort((a, b) => a - b);
    },
    serialized: (file) => closure(file).map(serialize),
  };
}

function prefixOf(packageName: string): string {
  return packageName === "" ? "" : `${packageName}.`;
}

function closure(file: DescFile): DescFile[] {
  const found = new Set<DescFile>();
  const visit = (next: DescFile) => {
    if (found.has(next)) return;
    found.add(next);
    for (const dependency of next.dependencies) visit(dependency);
  };
  visit(file);
  return [...found];
}
