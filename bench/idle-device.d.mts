export interface IdleCounts { buffers: number; madeBytes: number; destroyed: number; bindGroups: number; dispatches: number; submissions: number; inFirstSubmission: number; liveBytes: number }
export declare const idleAdapter: GPUAdapter;
export declare const foundOnH100: { subgroupLanes: number; matrix: { m: number; n: number; k: number; subgroup: number; vectors: boolean; strideInNumbers: boolean; tall: boolean; attention: boolean } };
export declare function idleDevice(): { device: GPUDevice; counts: IdleCounts; reset(): void };
