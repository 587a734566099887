import * as Y from 'yjs';
import { joinGarbage } from './replica.mjs';
import { TestConnector, applyRandomTests, compare, encV1 } from 'yjs/testHelper';
import { MODIFICATIONS } from './modifications.mjs';
import { Random } from './random.mjs';
console.error=()=>{}; const log=console.log; console.log=()=>{};
const first={};const out={}; let users=[];
if (!process.env.NOJOIN) encV1.applyUpdate=(d,u)=>{Y.applyUpdate(d,u);[d,...users].forEach(joinGarbage);};
for (const [kind,mods] of Object.entries(MODIFICATIONS)) for (let i=0;i<150;i++){
  const random=new Random(i);users=[]; const gen={next:()=>random.real()};
  const n=random.pick([6,40,100]);
  let r='ok '+n;
  try { applyRandomTests({prng:gen}, mods.map(m=>(u)=>m(random,u)), n, u=>{users.push(u)}); } catch(e){ r=n+' '+(r.length<9?'':'')+e.message+' '+e.stack.split('\n').find(l=>/testHelper/.test(l))?.trim().slice(-40)+ ' '+ (e.stack.includes('modifications.mjs')?'mods':''); }
  first[kind+': '+r]??=i;out[kind+': '+r]=(out[kind+': '+r]||0)+1;
}
log(out,first);
