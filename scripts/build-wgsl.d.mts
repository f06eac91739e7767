export declare function buildWgsl(options?: { dist?: boolean }): void;
