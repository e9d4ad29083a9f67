/**
 * What the SDK for JavaScript documents, read from the type declarations of the installed package, and what of it the
 * tests use, read from their sources by the TypeScript compiler. A member counts as used where a test's code names it:
 * as a property, in an object literal that the type is expected of, or in a pattern.
 */
import path from "node:path";
import ts from "typescript";

export const PROJECT_PATH = path.resolve(import.meta.dirname, "..", "..");
const PACKAGE_PATH = path.join(PROJECT_PATH, "node_modules", "@deno", "sandbox");
const ENTRY_PATH = path.join(PACKAGE_PATH, "esm", "mod.d.ts");

export interface Members {
  /** `Class.member`, `Interface.member`; of an anonymous type, the path to it. */
  declared: Set<string>;
  used: Set<string>;
}

/** @param testPaths sources of tests */
export function readMembers(testPaths: readonly string[]): Members {
  const { config } = ts.readConfigFile(path.join(PROJECT_PATH, "tsconfig.json"), (file) => ts.sys.readFile(file)) as {
    config: { compilerOptions: object };
  };
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, PROJECT_PATH);
  const program = ts.createProgram([ENTRY_PATH, ...testPaths], options);
  const checker = program.getTypeChecker();
  const names = declaredNames(program, checker);
  const used = new Set<string>();
  for (const testPath of testPaths) {
    const source = program.getSourceFile(testPath);
    if (source === undefined) throw new Error(`${testPath} cannot be read`);
    for (const declaration of usedDeclarations(source, checker)) {
      const name = names.get(declaration);
      if (name !== undefined) used.add(name);
    }
  }
  return { declared: new Set(names.values()), used };
}

/** The members of everything that the package exports, and of the types in their signatures. */
function declaredNames(program: ts.Program, checker: ts.TypeChecker): Map<ts.Node, string> {
  const names = new Map<ts.Node, string>();
  const seen = new Set<ts.Symbol>();
  const entry = program.getSourceFile(ENTRY_PATH);
  const module = entry && checker.getSymbolAtLocation(entry);
  if (module === undefined) throw new Error(`${ENTRY_PATH} exports nothing`);
  for (const symbol of checker.getExportsOfModule(module)) visitSymbol(symbol);
  return names;

  function visitSymbol(given: ts.Symbol): void {
    const symbol = given.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(given) : given;
    if (seen.has(symbol)) return;
    seen.add(symbol);
    for (const declaration of symbol.declarations ?? []) {
      const { fileName } = declaration.getSourceFile();
      if (fileName.startsWith(PACKAGE_PATH) && !fileName.includes("/_dnt.")) visit(declaration, symbol.name);
    }
  }

  /** @param owner the path to the type that `node` belongs to */
  function visit(node: ts.Node, owner: string): void {
    if (ts.isConstructorDeclaration(node)) return; // all are internal
    if (ts.isTypeReferenceNode(node) || ts.isExpressionWithTypeArguments(node)) {
      const symbol = checker.getSymbolAtLocation(ts.isTypeReferenceNode(node) ? node.typeName : node.expression);
      if (symbol !== undefined) visitSymbol(symbol);
    }
    const name = memberName(node);
    if (name !== undefined) names.set(node, `${owner}.${name}`);
    ts.forEachChild(node, (child) => visit(child, name === undefined ? owner : `${owner}.${name}`));
  }
}

function memberName(node: ts.Node): string | undefined {
  const isMember =
    ts.isMethodDeclaration(node) ||
    ts.isMethodSignature(node) ||
    ts.isPropertyDeclaration(node) ||
    ts.isPropertySignature(node) ||
    ts.isGetAccessorDeclaration(node) ||
    ts.isEnumMember(node);
  return isMember && ts.isIdentifier(node.name) ? node.name.text : undefined;
}

function* usedDeclarations(node: ts.Node, checker: ts.TypeChecker): Generator<ts.Node> {
  if (ts.isPropertyAccessExpression(node)) {
    yield* checker.getSymbolAtLocation(node.name)?.declarations ?? [];
  } else if (ts.isObjectLiteralExpression(node)) {
    yield* ofProperties(checker.getContextualType(node), node.properties.map(nameOf), checker);
  } else if (ts.isObjectBindingPattern(node)) {
    const names = node.elements.map(({ propertyName, name }) => nameOf({ name: propertyName ?? name }));
    yield* ofProperties(checker.getTypeAtLocation(node), names, checker);
  }
  for (const child of node.getChildren()) yield* usedDeclarations(child, checker);
}

function* ofProperties(
  type: ts.Type | undefined,
  names: (string | undefined)[],
  checker: ts.TypeChecker,
): Generator<ts.Node> {
  const types = type === undefined ? [] : type.isUnion() ? type.types : [type];
  for (const one of types) {
    for (const name of names) {
      const property = name === undefined ? undefined : checker.getPropertyOfType(one, name);
      yield* property?.declarations ?? [];
    }
  }
}

function nameOf({ name }: { name?: ts.Node | undefined }): string | undefined {
  return name !== undefined && ts.isIdentifier(name) ? name.text : undefined;
}
